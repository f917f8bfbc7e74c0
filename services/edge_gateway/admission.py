"""Who may come in: the UserSig is checked, and those who fail or come too often have to wait. Time is an argument."""

from services.edge_gateway.protocol import ErrorCode, JoinRequest, RequestRefusedError
from shared.auth.apps import Apps
from shared.auth.usersig import UserSigError, verify
from shared.rates import RateLimits

TOO_MANY_FAILURES = 70050
_JOIN_BURST_SECONDS = 10
"""Of one address: a whole school may be behind it, and come in at once."""


class Admission:
    """Checks joins, with limits per address: on those that fail, and on those that do not.

    Args:
        apps: whose UserSigs count.
        failures_per_minute: of one address; beyond it even a right UserSig is refused for a while.
        joins_per_second: of one address, after a burst of ten seconds' worth.
    """

    def __init__(self, apps: Apps, failures_per_minute: int, joins_per_second: float) -> None:
        self._apps = apps
        self._failures = RateLimits(failures_per_minute / 60, burst=failures_per_minute)
        self._joins = RateLimits(joins_per_second, joins_per_second * _JOIN_BURST_SECONDS)

    def check(self, request: JoinRequest, address: str, *, unix_time: float, monotonic: float, ready: bool) -> None:
        """Let a join through.

        Args:
            request: the join.
            address: where it comes from.
            unix_time: in seconds; UserSigs expire by it.
            monotonic: of a clock in seconds that never goes back, for the limits.
            ready: whether the gateway takes sessions.

        Raises:
            RequestRefusedError: ``unauthorized``, with the vendor's number for the cause; ``unavailable``.
        """
        if not self._failures.left(address, monotonic):
            raise RequestRefusedError(
                ErrorCode.UNAUTHORIZED, "too many failed joins from this address, retry in a minute", extra=TOO_MANY_FAILURES, retry=True
            )
        try:
            verify(request.sig, request.user, request.app, self._apps, unix_time)
        except UserSigError as error:
            self._failures.take(address, monotonic)
            raise RequestRefusedError(ErrorCode.UNAUTHORIZED, error.message, extra=error.code) from error
        if not ready:
            raise RequestRefusedError(ErrorCode.UNAVAILABLE, "the gateway is not ready", retry=True)
        if not self._joins.take(address, monotonic):
            raise RequestRefusedError(ErrorCode.UNAVAILABLE, "too many joins from this address, retry in a second", retry=True)

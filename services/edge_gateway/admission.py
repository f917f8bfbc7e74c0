"""Who may come in: the UserSig is checked, and those who fail often have to wait. Time is an argument."""

from services.edge_gateway.protocol import ErrorCode, JoinRequest, RequestRefusedError
from shared.auth.apps import Apps
from shared.auth.usersig import UserSigError, verify
from shared.rates import RateLimits

TOO_MANY_FAILURES = 70050


class Admission:
    """Checks joins, with a limit on failures per address.

    Args:
        apps: whose UserSigs count.
        failures_per_minute: of one address; beyond it even a right UserSig is refused for a while.
    """

    def __init__(self, apps: Apps, failures_per_minute: int) -> None:
        self._apps = apps
        self._failures = RateLimits(failures_per_minute / 60, burst=failures_per_minute)

    def check(self, request: JoinRequest, address: str, now: float, *, ready: bool) -> None:
        """Let a join through; ``now`` is Unix time in seconds, ``ready`` whether the gateway takes sessions.

        Raises:
            RequestRefusedError: ``unauthorized``, with the vendor's number for the cause; ``unavailable``.
        """
        if not self._failures.left(address, now):
            raise RequestRefusedError(
                ErrorCode.UNAUTHORIZED, "too many failed joins from this address, retry in a minute", extra=TOO_MANY_FAILURES, retry=True
            )
        try:
            verify(request.sig, request.user, request.app, self._apps, now)
        except UserSigError as error:
            self._failures.take(address, now)
            raise RequestRefusedError(ErrorCode.UNAUTHORIZED, error.message, extra=error.code) from error
        if not ready:
            raise RequestRefusedError(ErrorCode.UNAVAILABLE, "the gateway is not ready", retry=True)

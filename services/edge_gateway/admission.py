"""Who may come in: the UserSig is checked, and those who fail or come too often have to wait. Time is an argument."""

from services.edge_gateway.protocol import ErrorCode, JoinRequest, RequestRefusedError, ResumeRequest
from shared.auth import resume_token
from shared.auth.apps import Apps
from shared.auth.usersig import UserSigError, verify
from shared.contracts.ids import RoomKey
from shared.rates import RateLimits, network_of

TOO_MANY_FAILURES = 70050
_JOIN_BURST_SECONDS = 10
"""Of one address: a whole school may be behind it, and come in at once."""


class Admission:
    """Checks joins and resumes, with limits per IPv4 address or /64 of IPv6: on those that fail, and on those that do not.

    Args:
        apps: whose UserSigs count.
        failures_per_minute: of one address; beyond it even a right UserSig is refused for a while.
        joins_per_second: of one address, after a burst of ten seconds' worth.
    """

    def __init__(self, apps: Apps, failures_per_minute: int, joins_per_second: float) -> None:
        self._apps = apps
        self._failures = RateLimits(failures_per_minute / 60, burst=failures_per_minute)
        self._joins = RateLimits(joins_per_second, joins_per_second * _JOIN_BURST_SECONDS)

    def check_join(self, request: JoinRequest, address: str, *, unix_time: float, monotonic: float, ready: bool) -> None:
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
        address = network_of(address)
        self._check_failures(address, monotonic)
        try:
            verify(request.sig, request.user, request.app, self._apps, unix_time)
        except UserSigError as error:
            self._failures.take(address, monotonic)
            raise RequestRefusedError(ErrorCode.UNAUTHORIZED, error.message, extra=error.code) from error
        self._check_rate(address, monotonic, ready=ready)

    def check_resume(self, request: ResumeRequest, address: str, *, monotonic: float, ready: bool) -> None:
        """Let a resume through whose token was made for that session; whether that still counts is for the registry to say.

        Arguments are those of :meth:`check_join`.

        Raises:
            RequestRefusedError: ``session_unknown``; ``unauthorized`` after too many of them; ``unavailable``.
        """
        address = network_of(address)
        self._check_failures(address, monotonic)
        app = self._apps.app(request.app)
        room = RoomKey(request.app, request.room)
        if app is None or not resume_token.is_genuine(request.token, app.verifying_keys, room, request.session):
            self._failures.take(address, monotonic)
            raise RequestRefusedError(ErrorCode.SESSION_UNKNOWN, "there is no such session, or the token is not its")
        self._check_rate(address, monotonic, ready=ready)

    def _check_failures(self, address: str, monotonic: float) -> None:
        if not self._failures.left(address, monotonic):
            raise RequestRefusedError(
                ErrorCode.UNAUTHORIZED, "too many failed joins from this address, retry in a minute", extra=TOO_MANY_FAILURES, retry=True
            )

    def _check_rate(self, address: str, monotonic: float, *, ready: bool) -> None:
        if not ready:
            raise RequestRefusedError(ErrorCode.UNAVAILABLE, "the gateway takes no sessions at the moment", retry=True)
        if not self._joins.take(address, monotonic):
            raise RequestRefusedError(ErrorCode.UNAVAILABLE, "too many joins from this address, retry in a second", retry=True)

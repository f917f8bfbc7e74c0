"""How a session ended, and what of that its browser is told. Pure."""

import functools
from dataclasses import dataclass, field
from typing import Any

from services.edge_gateway.protocol import ErrorCode, RequestRefusedError, encode, ended
from shared.contracts.reasons import CLIENT_BANNED, LeaveReason
from shared.tracing import Context


@dataclass(frozen=True)
class Ending:
    """The end of a session, by a committed command."""

    reason: LeaveReason
    command: str
    correlation: str
    heard_at: float | None = None
    """When this gateway heard of it, on its monotonic clock; None where that is no notice's beginning."""
    trace: Context = field(default_factory=dict, compare=False)

    @property
    def wants_receipt(self) -> bool:
        """Say whether an administrator waits for what becomes of it."""
        return self.reason in (LeaveReason.REMOVED, LeaveReason.DISMISSED)

    @property
    def is_told(self) -> bool:
        """Say whether the application hears of it."""
        return self.reason in CLIENT_BANNED

    def notice(self) -> str:
        """Write what the browser is told: the same text for all whom one command has ended."""
        return _notice(self.reason, self.correlation)

    def spoken(self) -> str | None:
        """Write what the browser is told over its data channel, too; None where its application is to hear nothing."""
        return self.notice() if self.is_told else None

    def describe(self) -> dict[str, Any]:
        """Build what the protocol says of it."""
        return {"reason": self.reason, "correlation": self.correlation, **banned(self.reason)}


class EndedBeforeError(RequestRefusedError):
    """A session cannot be resumed, for it has ended. ``user`` is whose it was, where that is known."""

    def __init__(self, message: str, ending: Ending, user: str | None) -> None:
        super().__init__(ErrorCode.SESSION_ENDED, message, details=ending.describe())
        self.ending = ending
        self.user = user


@functools.lru_cache(maxsize=64)
def _notice(reason: LeaveReason, correlation: str) -> str:
    return encode(ended({"reason": reason, "correlation": correlation, **banned(reason)}))


def banned(reason: LeaveReason) -> dict[str, Any]:
    """Build the words for the application, where it is to hear any."""
    words = CLIENT_BANNED.get(reason)
    return {} if words is None else {"client_banned": words._asdict()}

"""What is written and counted of one session on this gateway: a line in the log when it comes in, and one when it goes."""

import time

import structlog

from services.edge_gateway.inbox import MAX_ITEMS
from services.edge_gateway.metrics import GatewayMetrics
from services.edge_gateway.protocol import RequestRefusedError
from shared.contracts.commands import Role
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason

log = structlog.get_logger()


class Record:
    """One session's.

    Args:
        session: its id.
        key: its room.
        correlation: its own.
        metrics: where it is counted.
    """

    def __init__(self, session: str, key: RoomKey, correlation: str, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self._began = time.monotonic()
        self._admission_ms = 0.0
        self._log = log.bind(session=session, app=key.app, room=key.room, correlation=correlation)

    def admitted(self, kind: str, user: str, attachment: int) -> None:
        """It was let in, by a ``join`` or a ``resume``."""
        seconds = time.monotonic() - self._began
        self._metrics.admitted(kind, seconds)
        self._admission_ms = round(seconds * 1000, 1)
        self._log = self._log.bind(user=user, attachment=attachment)

    def joined(self, role: Role) -> None:
        """Its client was told that it is in."""
        self._log.info("session_joined", role=role, duration_ms=self._admission_ms)

    def resumed(self, role: Role, *, media: bool) -> None:
        """Its client was told that it goes on, with or without the media that there was."""
        self._log.info("session_resumed", role=role, media=media, duration_ms=self._admission_ms)

    def refused(self, kind: str, error: RequestRefusedError) -> None:
        """It was not let in."""
        self._metrics.refused(kind, error.code)
        self._log.info("session_refused", code=error.code, reason=error.message)

    def overrun(self) -> None:
        """It cannot keep up."""
        self._log.error("session_inbox_full", limit=MAX_ITEMS)

    def broken(self) -> None:
        """It met a bug, whose exception is being handled."""
        self._log.exception("session_broken")

    def ended(self, reason: LeaveReason, cause: str, *, told: bool | None) -> None:
        """It is over; ``told`` is what its browser said to that."""
        self._metrics.departed(reason)
        self._log.info("session_ended", reason=reason, cause=cause, told=told, seconds=self._seconds)

    def let_go(self, why: str) -> None:
        """It goes on, and not here."""
        self._metrics.departed("moved")
        self._log.info("session_let_go", why=why, seconds=self._seconds)

    @property
    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

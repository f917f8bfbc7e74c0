"""What a session asks of the registry: to be let in, and to be ended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from services.edge_gateway.protocol import ErrorCode, RequestRefusedError
from shared.contracts.commands import Join, Leave, Role
from shared.contracts.errors import RefusalCode, RefusedError, UnavailableError
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import JoinReply, LeaveReply

log = structlog.get_logger()

COMMAND_SECONDS = 10.0
_LEAVE_AGAIN_SECONDS = 0.5
_REFUSALS = {
    RefusalCode.ROOM_FULL: ErrorCode.ROOM_FULL,
    RefusalCode.TOO_MANY_SESSIONS: ErrorCode.TOO_MANY_SESSIONS,
    RefusalCode.SESSION_ENDED: ErrorCode.SESSION_ENDED,
}
Ending = Literal[LeaveReason.LEFT, LeaveReason.TIMED_OUT]


class Registry(Protocol):
    """The registry, over the bus. Both send again until they are answered, and raise RefusedError or UnavailableError."""

    async def join(self, command: Join) -> JoinReply:
        """Ask for a session to be let in."""
        ...

    async def leave(self, command: Leave) -> LeaveReply:
        """Ask for a session to be ended."""
        ...


@dataclass(frozen=True)
class Membership:
    """One session's place in the registry."""

    registry: Registry
    gateway: str
    key: RoomKey
    session: str
    user: str
    role: Role
    correlation: str
    new_id: Callable[[], str]
    expires_at: Callable[[float], int]
    """Seconds from now to Unix time in milliseconds."""

    async def join(self) -> JoinReply:
        """Be let in.

        Raises:
            RequestRefusedError: the registry says no, or nothing; then the join may still be carried out.
        """
        command = Join(
            id=self.new_id(),
            correlation=self.correlation,
            expires_at=self.expires_at(COMMAND_SECONDS),
            app=self.key.app,
            room=self.key.room,
            session=self.session,
            user=self.user,
            role=self.role,
            gateway=self.gateway,
        )
        try:
            return await self.registry.join(command)
        except RefusedError as error:
            code = _REFUSALS.get(error.code, ErrorCode.UNAVAILABLE)
            raise RequestRefusedError(code, error.message, retry=code is ErrorCode.UNAVAILABLE) from error
        except UnavailableError as error:
            log.warning("join_unanswered", session=self.session, correlation=self.correlation, reason=str(error))
            raise RequestRefusedError(ErrorCode.UNAVAILABLE, "the room cannot be reached at the moment", retry=True) from error

    async def leave(self, reason: Ending) -> None:
        """Be ended, however long that takes: nobody must stay in a room without a browser."""
        while True:
            command = Leave(
                id=self.new_id(),
                correlation=self.correlation,
                expires_at=self.expires_at(COMMAND_SECONDS),
                app=self.key.app,
                room=self.key.room,
                session=self.session,
                reason=reason,
            )
            try:
                await self.registry.leave(command)
            except (UnavailableError, RefusedError) as error:
                log.warning("leave_unanswered", session=self.session, correlation=self.correlation, reason=str(error))
                await asyncio.sleep(_LEAVE_AGAIN_SECONDS)
            else:
                return

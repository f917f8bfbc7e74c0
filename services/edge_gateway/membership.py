"""What a session asks of the registry: to be let in, to be attached anew, to have another role, and to be ended."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, assert_never

import structlog

from services.edge_gateway.arrival import Arrival, Joining, Resuming
from services.edge_gateway.ending import EndedBeforeError, Ending, banned
from services.edge_gateway.protocol import ErrorCode, RequestRefusedError
from shared.clients.commands import CommandClient
from shared.contracts.commands import Detach, Join, Leave, Resume, Role, SwitchRole, Verb
from shared.contracts.errors import RefusalCode, RefusedError, SessionEndedError, StagedoorError, UnavailableError
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import JoinReply, ResumeReply
from shared.tracing import NO_CONTEXT, Tracer, carrying

log = structlog.get_logger()

COMMAND_SECONDS = 10.0
_AGAIN_SECONDS = 0.5
_REFUSALS = {
    RefusalCode.ROOM_FULL: ErrorCode.ROOM_FULL,
    RefusalCode.TOO_MANY_SESSIONS: ErrorCode.TOO_MANY_SESSIONS,
    RefusalCode.ANCHOR_TAKEN: ErrorCode.ANCHOR_TAKEN,
    RefusalCode.ROOM_ELSEWHERE: ErrorCode.ROOM_ELSEWHERE,
    RefusalCode.SESSION_ENDED: ErrorCode.SESSION_ENDED,
    RefusalCode.SESSION_UNKNOWN: ErrorCode.SESSION_UNKNOWN,
    RefusalCode.SUPERSEDED: ErrorCode.INVALID_STATE,
}
_RETRYABLE = frozenset({ErrorCode.UNAVAILABLE, ErrorCode.ROOM_ELSEWHERE})
LeavesAs = Literal[LeaveReason.LEFT, LeaveReason.TIMED_OUT]
Admission = JoinReply | ResumeReply


@dataclass(frozen=True)
class Membership:
    """One session's place in the registry."""

    commands: CommandClient
    tracer: Tracer
    gateway: str
    key: RoomKey
    session: str
    correlation: str
    new_id: Callable[[], str]
    expires_at: Callable[[float], int]
    """Seconds from now to Unix time in milliseconds."""

    async def enter(self, arrival: Arrival) -> Admission | RequestRefusedError:
        """Be let in, or be attached anew.

        Returns:
            The registry's answer, or why there is none. EndedBeforeError: the session that is to be resumed has ended. Where the
            registry says nothing it may still be carried out.
        """
        span, outcome = self.tracer.begin(arrival.kind, NO_CONTEXT, correlation=self.correlation), "admitted"
        try:
            with carrying(span.context):
                return await self._ask(arrival)
        except RequestRefusedError as error:
            outcome = str(error.code)
            return error
        finally:
            span.end(outcome=outcome)

    async def _ask(self, arrival: Arrival) -> Admission:
        digest = hashlib.sha256(arrival.token.encode()).hexdigest()
        try:
            match arrival:
                case Joining(user=user, role=role, yields=yields):
                    join = Join(**self._fields(), user=user, role=role, gateway=self.gateway, token=digest, yields=yields)
                    return await self.commands.send(join)
                case Resuming():
                    return await self.commands.send(Resume(**self._fields(), token=digest, gateway=self.gateway))
                case _:
                    assert_never(arrival)
        except (RefusedError, UnavailableError) as error:
            raise self._refused(error) from error

    async def switch_role(self, attachment: int, role: Role) -> None:
        """Have another role.

        Raises:
            RequestRefusedError: the registry says no, or nothing; then it may still be carried out.
        """
        try:
            await self.commands.send(SwitchRole(**self._fields(), attachment=attachment, role=role))
        except (RefusedError, UnavailableError) as error:
            raise self._refused(error) from error

    async def leave(self, attachment: int, reason: LeavesAs) -> None:
        """Be ended, however long that takes: nobody must stay in a room without a browser. Nothing, if attached anew since."""
        while True:
            try:
                await self.commands.send(Leave(**self._fields(), attachment=attachment, reason=reason))
            except (UnavailableError, RefusedError) as error:
                await self._wait(Verb.LEAVE, error)
            else:
                return

    async def detach(self, attachment: int) -> None:
        """Say that this gateway holds nothing of the session any more, however long that takes: its endings wait for it."""
        while True:
            try:
                await self.commands.send(Detach(**self._fields(), attachment=attachment, gateway=self.gateway))
            except (UnavailableError, RefusedError) as error:
                await self._wait(Verb.DETACH, error)
            else:
                return

    async def _wait(self, verb: Verb, error: StagedoorError) -> None:
        log.warning("command_unanswered", verb=verb, session=self.session, correlation=self.correlation, reason=str(error))
        await asyncio.sleep(_AGAIN_SECONDS)

    def _fields(self) -> dict[str, Any]:
        """Build what each command carries, with an id of its own."""
        return {
            "id": self.new_id(),
            "correlation": self.correlation,
            "expires_at": self.expires_at(COMMAND_SECONDS),
            "app": self.key.app,
            "room": self.key.room,
            "session": self.session,
        }

    def _refused(self, error: RefusedError | UnavailableError) -> RequestRefusedError:
        match error:
            case SessionEndedError():
                ending = Ending(LeaveReason(error.reason), error.command, error.correlation)
                return EndedBeforeError(error.message, ending, error.user)
            case RefusedError():
                code = _REFUSALS.get(error.code, ErrorCode.UNAVAILABLE)
                details = banned(LeaveReason.REPLACED) if code is ErrorCode.ANCHOR_TAKEN else None
                return RequestRefusedError(code, error.message, retry=code in _RETRYABLE, details=details)
            case UnavailableError():
                log.warning("command_unanswered", session=self.session, correlation=self.correlation, reason=str(error))
                return RequestRefusedError(ErrorCode.UNAVAILABLE, "the room cannot be reached at the moment", retry=True)

"""Sending commands to the registry: the same id, again and again, until an answer or the command's end."""

import random
import time
from asyncio import sleep
from collections.abc import Mapping
from typing import overload

import nats.errors
import structlog
from nats.aio.client import Client
from pydantic import TypeAdapter, ValidationError

from shared import tracing
from shared.contracts.commands import Detach, Dismiss, Join, Leave, Remove, Resume, RoomCommand, SwitchRole
from shared.contracts.errors import RefusalCode, RefusedError, SessionEndedError, UnavailableError
from shared.contracts.messages import Message
from shared.contracts.replies import (
    DetachReply,
    DismissReply,
    JoinReply,
    LeaveReply,
    Refusal,
    RemoveReply,
    Reply,
    ResumeReply,
    SwitchRoleReply,
)
from shared.contracts.subjects import DOOR, command_subject, partition_of

log = structlog.get_logger()

ATTEMPT_SECONDS = 2.0
_BACKOFF_SECONDS = (0.02, 0.25)
_ANSWERS: Mapping[type[RoomCommand], type[Message]] = {
    Join: JoinReply,
    Resume: ResumeReply,
    Leave: LeaveReply,
    SwitchRole: SwitchRoleReply,
    Detach: DetachReply,
    Remove: RemoveReply,
    Dismiss: DismissReply,
}
_reply: TypeAdapter[Reply] = TypeAdapter(Reply)


def deadline(seconds: float) -> int:
    """Return the Unix time in milliseconds so many seconds from now: a command's ``expires_at``."""
    return int((time.time() + seconds) * 1000)


class CommandClient:
    """Commands over one connection.

    Args:
        connection: to NATS.
        partitions: of the stream; None sends through the door, where a registry computes the partition.
    """

    def __init__(self, connection: Client, partitions: int | None = None) -> None:
        self._connection = connection
        self._partitions = partitions

    @overload
    async def send(self, command: Join) -> JoinReply: ...
    @overload
    async def send(self, command: Resume) -> ResumeReply: ...
    @overload
    async def send(self, command: Leave) -> LeaveReply: ...
    @overload
    async def send(self, command: SwitchRole) -> SwitchRoleReply: ...
    @overload
    async def send(self, command: Detach) -> DetachReply: ...
    @overload
    async def send(self, command: Remove) -> RemoveReply: ...
    @overload
    async def send(self, command: Dismiss) -> DismissReply: ...
    async def send(self, command: RoomCommand) -> Reply:
        """Send until an owner answers. A command without ``expires_at`` is tried once.

        Raises:
            SessionEndedError: it was decided, and the answer is that its session has ended.
            RefusedError: it was decided, and the answer is no.
            UnavailableError: no answer before the command's end; whether it was carried out is open.
        """
        partition = DOOR if self._partitions is None else partition_of(command.key, self._partitions)
        subject = command_subject(partition, command.key, command.verb)
        payload = command.to_bytes()
        delay, most = _BACKOFF_SECONDS
        problem = ""
        while True:
            try:
                message = await self._connection.request(subject, payload, timeout=_attempt_seconds(command), headers=tracing.current())
                reply = _reply.validate_json(message.data)
            except (nats.errors.Error, TimeoutError) as error:
                problem = str(error) or type(error).__name__
            except ValidationError as error:
                raise UnavailableError("the registry's answer is not of this version") from error
            else:
                if isinstance(reply, _ANSWERS[type(command)]):
                    return reply
                if not isinstance(reply, Refusal):
                    raise UnavailableError(f"a {command.verb} was answered with {reply.kind}")
                problem = f"{reply.code}: {reply.message}"
                if reply.code is RefusalCode.EXPIRED:
                    break
                if not reply.retry:
                    raise _refused(reply)
            if command.expires_at is None or time.time() + delay >= command.expires_at / 1000:
                break
            log.debug("command_again", verb=command.verb, command=command.id, problem=problem)
            await sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter
            delay = min(delay * 2, most)
        raise UnavailableError(f"no answer from the registry in time ({problem})")


def _refused(refusal: Refusal) -> RefusedError:
    if refusal.code is RefusalCode.SESSION_ENDED and refusal.reason and refusal.command and refusal.correlation:
        return SessionEndedError(refusal.message, refusal.reason, refusal.command, refusal.correlation, refusal.user)
    return RefusedError(refusal.code, refusal.message)


def _attempt_seconds(command: RoomCommand) -> float:
    if command.expires_at is None:
        return ATTEMPT_SECONDS
    return max(0.01, min(ATTEMPT_SECONDS, command.expires_at / 1000 - time.time()))

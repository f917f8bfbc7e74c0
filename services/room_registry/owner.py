"""The owner of one partition: takes commands from a queue, decides, commits, folds, replies. In this order, one by one.

Only what is committed exists: nothing is told before the commit, and the state changes only by what was committed. When
the outcome of a commit is unknown, or the fence refused it, the owner takes the partition over again and reads the truth.
"""

import asyncio
import time
from collections.abc import Callable

import nats.errors
import structlog
from nats.aio.msg import Msg

from services.room_registry.domain.partition import Decision, Partition
from services.room_registry.intake import parse_command
from services.room_registry.ledger import Ledger
from services.room_registry.replica import Replica
from shared.contracts.commands import Command, RoomCommand
from shared.contracts.errors import FencedError, RefusalCode, RefusedError, StagedoorError, UnavailableError, UnknownOutcomeError
from shared.contracts.replies import Refusal, Reply

log = structlog.get_logger()

MAX_QUEUED = 4096
_BACKOFF_SECONDS = 0.25


class SupersededError(StagedoorError):
    """Another registry has taken the partition over."""


class Owner:
    """Owns one partition.

    Args:
        number: of the partition.
        replica: where its state lives.
        ledger: where its facts go.
        name: of this owner; another process has another.
        clock: Unix time in milliseconds.
        new_id: makes command ids for the owner's own messages.
    """

    def __init__(
        self, number: int, replica: Replica, ledger: Ledger, *, name: str, clock: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        self.number = number
        self.serving = False
        self._replica = replica
        self._ledger = ledger
        self._name = name
        self._clock = clock
        self._new_id = new_id
        self._queue: asyncio.Queue[Msg] = asyncio.Queue(MAX_QUEUED)
        self._log = log.bind(partition=number)

    @property
    def partition(self) -> Partition:
        """The state."""
        return self._replica.partitions[self.number]

    async def offer(self, message: Msg) -> None:
        """Queue a command, or refuse it when the queue is full."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._log.warning("queue_full", limit=MAX_QUEUED)
            await _respond(message, Refusal(code=RefusalCode.OVERLOADED, message="the partition's queue is full", retry=True))

    async def take_over(self) -> None:
        """Become the one writer: read all that is committed, and write an epoch that follows it.

        Raises:
            SupersededError: this owner served, and another has taken over since.
            CorruptStreamError: the stream cannot be folded.
        """
        was_serving, self.serving = self.serving, False
        while True:
            try:
                await self._replica.catch_up()
                if was_serving and self.partition.owner != self._name:
                    raise SupersededError(f"partition {self.number} is owned by {self.partition.owner} now")
                entry = self.partition.begin_epoch(self._name, self._new_id(), self._clock())
                seq = await self._ledger.commit(self.number, self.partition.last_seq, entry)
            except FencedError:
                continue
            except (UnavailableError, UnknownOutcomeError, RefusedError) as error:
                self._log.warning("take_over_waits", reason=str(error))
                await asyncio.sleep(_BACKOFF_SECONDS)
                continue
            self.partition.fold(seq, entry.key, entry.message)
            self.serving = True
            self._log.info("partition_owned", epoch=seq, rooms=len(self.partition.rooms))
            return

    async def serve(self) -> None:
        """Answer commands, for ever.

        Raises:
            SupersededError: another owner has taken over.
            CorruptStreamError: after an unknown outcome, the stream could not be folded.
        """
        while True:
            message = await self._queue.get()
            try:
                await self._answer(message)
            finally:
                self._queue.task_done()

    async def drain(self) -> None:
        """Wait until everything queued is answered."""
        await self._queue.join()

    async def _answer(self, message: Msg) -> None:
        began = time.monotonic()
        command: Command | None = None
        try:
            command = parse_command(message.subject, message.data, self.number, len(self._replica.partitions))
            reply = await self._decide_and_commit(command)
        except RefusedError as error:
            reply = Refusal(code=error.code, message=error.message, retry=error.code is RefusalCode.OVERLOADED)
        await _respond(message, reply)
        self._log_line(message.subject, command, reply, time.monotonic() - began)

    async def _decide_and_commit(self, command: Command) -> Reply:
        while True:
            decision = self.partition.decide(command, self._clock())
            try:
                await self._commit(decision)
            except (FencedError, UnknownOutcomeError) as error:
                self._log.warning("commit_uncertain", command=command.id, reason=str(error))
                # If the message is in, deciding again finds its effect and gives the same answer.
                await self.take_over()
            else:
                return decision.reply

    async def _commit(self, decision: Decision) -> None:
        for entry in decision.entries:
            seq = await self._ledger.commit(self.number, self.partition.last_seq, entry)
            self.partition.fold(seq, entry.key, entry.message)

    def _log_line(self, subject: str, command: Command | None, reply: Reply, seconds: float) -> None:
        outcome = reply.code if isinstance(reply, Refusal) else "done"
        fields: dict[str, object] = {"subject": subject, "outcome": outcome, "duration_ms": round(seconds * 1000, 2)}
        if isinstance(reply, Refusal):
            fields["reason"] = reply.message
        if command is not None:
            fields |= {"verb": command.verb, "command": command.id, "correlation": command.correlation or command.id}
        if isinstance(command, RoomCommand):
            fields |= {"app": command.app, "room": command.room}
        self._log.info("command", seq=self.partition.last_seq, **fields)


async def _respond(message: Msg, reply: Reply) -> None:
    """Answer, if an answer is wanted and the bus is there; if not, the sender asks again with the same id."""
    if not message.reply:
        return
    try:
        await message.respond(reply.to_bytes())
    except (nats.errors.Error, TimeoutError) as error:
        log.warning("reply_lost", subject=message.subject, reason=str(error) or type(error).__name__)

"""The owner of one partition: takes what is queued, decides, commits, folds, replies. In this order.

Only what is committed exists: nothing is told before the commit, and the state changes only by what was committed. When
the outcome of a commit is unknown, or the fence refused it, the owner reads the truth; if nobody else has taken over, it
takes over again and decides the same commands anew. If somebody has, they are answered with ``not_owner``, and their
senders send them again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.room_registry.domain.partition import Entry, Partition
from services.room_registry.intake import parse_command
from services.room_registry.ledger import MAX_BATCH, Ledger
from services.room_registry.replica import Replica
from shared.bus.replies import respond
from shared.contracts.commands import Command, RoomCommand
from shared.contracts.errors import FencedError, RefusalCode, RefusedError, UnavailableError, UnknownOutcomeError
from shared.contracts.replies import Refusal, Reply

log = structlog.get_logger()

MAX_QUEUED = 4096
_BACKOFF_SECONDS = 0.25


class Request(NamedTuple):
    """A command with the message that it came in, and when."""

    message: Msg
    command: Command | None
    """None: it is none, and ``reply`` says why."""
    reply: Reply | None
    began: float


class Owner:
    """Owns one partition, or stands by for it.

    Args:
        number: of the partition.
        replica: where its state lives.
        ledger: where its facts go.
        catch_up: has everything that is committed folded.
        name: of this owner; another process has another.
        clock: Unix time in milliseconds.
        new_id: makes command ids for the owner's own messages.
    """

    def __init__(
        self,
        number: int,
        replica: Replica,
        ledger: Ledger,
        *,
        catch_up: Callable[[], Awaitable[None]],
        name: str,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self.number = number
        self.serving = False
        self._replica = replica
        self._ledger = ledger
        self._catch_up = catch_up
        self._name = name
        self._clock = clock
        self._new_id = new_id
        self._queue: asyncio.Queue[Msg] = asyncio.Queue(MAX_QUEUED)
        self._subscription: Subscription | None = None
        self._yielded = asyncio.Event()
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
            await respond(message, Refusal(code=RefusalCode.OVERLOADED, message="the partition's queue is full", retry=True))

    def folded(self) -> None:
        """Look whether somebody else has taken the partition over."""
        if self.serving and self.partition.owner != self._name:
            self.serving = False
            self._yielded.set()
            self._log.info("partition_yielded", owner=self.partition.owner)

    async def own(self) -> None:
        """Take the partition over and serve it until somebody else does. Called when commands are queued already.

        Raises:
            CorruptStreamError: the stream cannot be folded.
        """
        self._yielded.clear()
        await self._take_over()
        yielded = asyncio.create_task(self._yielded.wait())
        try:
            while self.serving:
                waiting = asyncio.create_task(self._queue.get())
                await asyncio.wait({waiting, yielded}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    await self._answer(self._with_what_is_queued(waiting.result()))
                else:
                    waiting.cancel()
        finally:
            yielded.cancel()
            self.serving = False

    def taking_from(self, subscription: Subscription) -> None:
        """Remember where commands come from."""
        self._subscription = subscription

    async def stop_taking(self) -> None:
        """Take no new commands; those that have arrived are queued."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.drain()

    async def drain(self) -> None:
        """Wait until everything queued is answered."""
        await self._queue.join()

    async def give_back(self) -> None:
        """Answer what was not decided: its senders find the new owner with the same id."""
        while not self._queue.empty():
            await respond(self._queue.get_nowait(), _not_owner())
            self._queue.task_done()

    async def _take_over(self) -> None:
        """Become the one writer: write an epoch, which ends every other owner's, and fold everything up to it."""
        while True:
            try:
                entry = self.partition.begin_epoch(self._name, self._new_id(), self._clock())
                seq = await self._ledger.begin(self.number, entry)
                await self._catch_up()
            except (UnavailableError, UnknownOutcomeError, RefusedError) as error:
                self._log.warning("take_over_waits", reason=str(error))
                await asyncio.sleep(_BACKOFF_SECONDS)
                continue
            self.serving = self.partition.owner == self._name
            if self.serving:
                self._log.info("partition_owned", epoch=seq, rooms=len(self.partition.rooms))
            return

    def _with_what_is_queued(self, first: Msg) -> list[Msg]:
        messages = [first]
        while len(messages) < MAX_BATCH and not self._queue.empty():
            messages.append(self._queue.get_nowait())
        return messages

    async def _answer(self, messages: Sequence[Msg]) -> None:
        requests = [self._parse(message) for message in messages]
        try:
            replies = await self._decide_and_commit(requests)
            for request, reply in zip(requests, replies, strict=True):
                await respond(request.message, reply)
                self._log_line(request, reply)
        finally:
            for _ in messages:
                self._queue.task_done()

    def _parse(self, message: Msg) -> Request:
        began = time.monotonic()
        try:
            command = parse_command(message.subject, message.data, self.number, len(self._replica.partitions))
        except RefusedError as error:
            return Request(message, None, Refusal(code=error.code, message=error.message), began)
        return Request(message, command, None, began)

    async def _decide_and_commit(self, requests: Sequence[Request]) -> list[Reply]:
        while True:
            replies, entries = self._decide(requests)
            try:
                await self._commit(entries)
            except RefusedError as error:
                if len(requests) > 1:
                    # One of them may be at fault; the others must not suffer for it.
                    return [reply for request in requests for reply in await self._decide_and_commit([request])]
                return [Refusal(code=error.code, message=error.message, retry=error.code is RefusalCode.OVERLOADED)]
            except (FencedError, UnknownOutcomeError) as error:
                self._log.warning("commit_uncertain", messages=len(entries), reason=str(error))
                if not await self._still_mine():
                    return [request.reply or _not_owner() for request in requests]
            else:
                return replies

    def _decide(self, requests: Sequence[Request]) -> tuple[list[Reply], list[Entry]]:
        """Decide one after the other, each on what the ones before it would leave."""
        draft = self.partition.draft()
        now = self._clock()
        replies: list[Reply] = []
        entries: list[Entry] = []
        decided: dict[str, tuple[Command, Reply]] = {}
        for request in requests:
            command = request.command
            if command is None:
                assert request.reply is not None
                replies.append(request.reply)
                continue
            if (known := decided.get(command.id)) is not None and known[0] == command:
                # Sent again while it waited here.
                replies.append(known[1])
                continue
            decision = draft.decide(command, now)
            decided[command.id] = command, decision.reply
            replies.append(decision.reply)
            for entry in decision.entries:
                draft.fold(draft.last_seq + 1, entry.key, entry.message)
            entries += decision.entries
        return replies, entries

    async def _commit(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), MAX_BATCH):
            batch = entries[start : start + MAX_BATCH]
            sequences = await self._ledger.commit(self.number, self.partition.last_seq, batch)
            for seq, entry in zip(sequences, batch, strict=True):
                self.partition.fold(seq, entry.key, entry.message)

    async def _still_mine(self) -> bool:
        """After a commit that may or may not be in: read the truth, and if nobody else owns the partition, own it anew."""
        while True:
            try:
                await self._catch_up()
                break
            except UnavailableError as error:
                self._log.warning("truth_waits", reason=str(error))
                await asyncio.sleep(_BACKOFF_SECONDS)
        if self.partition.owner != self._name:
            return False
        await self._take_over()
        return self.serving

    def _log_line(self, request: Request, reply: Reply) -> None:
        fields: dict[str, object] = {
            "subject": request.message.subject,
            "outcome": "done",
            "duration_ms": round((time.monotonic() - request.began) * 1000, 2),
        }
        if isinstance(reply, Refusal):
            fields |= {"outcome": reply.code, "reason": reply.message}
        command = request.command
        if command is not None:
            fields |= {"verb": command.verb, "command": command.id, "correlation": command.correlation or command.id}
        if isinstance(command, RoomCommand):
            fields |= {"app": command.app, "room": command.room}
        self._log.info("command", seq=self.partition.last_seq, **fields)


def _not_owner() -> Refusal:
    return Refusal(code=RefusalCode.NOT_OWNER, message="another registry owns the partition now", retry=True)

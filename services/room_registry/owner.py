"""The owner of one partition: takes what is queued to the partition's writer, and answers what that has committed."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.room_registry.ahead import Asked, Loss
from services.room_registry.domain.partition import Partition
from services.room_registry.intake import parse_command
from services.room_registry.traces import CommandTraces
from services.room_registry.writer import MAX_COMMIT, Writer, not_owner
from shared.bus.replies import respond
from shared.contracts.commands import Verb
from shared.contracts.errors import RefusalCode, RefusedError
from shared.contracts.replies import Refusal, Reply

log = structlog.get_logger()

MAX_QUEUED = 4096
_MAX_UNDER_WAY = 2 * MAX_COMMIT
"""Requests with the writer: those in the commit under way, and those that are decided meanwhile."""


class Request(NamedTuple):
    """What is to be carried out, and since when."""

    item: Msg | Loss
    asked: Asked | None
    """None: it is no command."""
    began: float


Measure = Callable[[str, str, float], None]
"""Takes a verb, what came of it, and the seconds from the queue to the answer."""


class Owner:
    """Owns one partition, or stands by for it.

    Args:
        writer: of the partition.
        partitions: how many there are.
        new_id: makes command ids for the owner's own messages.
        measure: told of each answer.
        traces: of the commands that are here.
    """

    def __init__(self, writer: Writer, partitions: int, new_id: Callable[[], str], measure: Measure, traces: CommandTraces) -> None:
        self.number = writer.number
        self._writer = writer
        self._partitions = partitions
        self._new_id = new_id
        self._measure = measure
        self._traces = traces
        self._queue: asyncio.Queue[Msg | Loss] = asyncio.Queue(MAX_QUEUED)
        self._under_way: deque[Request] = deque()
        self._subscription: Subscription | None = None
        self._stirred = asyncio.Event()
        """Something is queued, or committed, or somebody else has taken the partition over."""
        self._log = log.bind(partition=writer.number)

    @property
    def partition(self) -> Partition:
        """The state."""
        return self._writer.partition

    @property
    def serving(self) -> bool:
        """Say whether commands are decided here."""
        return self._writer.serving

    @property
    def queued(self) -> int:
        """Count the commands that are not answered yet."""
        return self._queue.qsize() + len(self._under_way)

    async def offer(self, message: Msg) -> None:
        """Queue a command, or refuse it when the queue is full."""
        try:
            self._queue.put_nowait(message)
            self._stirred.set()
        except asyncio.QueueFull:
            self._log.warning("queue_full", limit=MAX_QUEUED)
            await respond(message, Refusal(code=RefusalCode.OVERLOADED, message="the partition's queue is full", retry=True))

    def declare_lost(self, gateway: str, *, silent: bool) -> None:
        """Queue a gateway to be declared lost, silent or not. Whoever finds it lost says so again until that is committed."""
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(Loss(gateway, self._new_id(), silent))
            self._stirred.set()

    def folded(self) -> None:
        """Look whether somebody else has taken the partition over."""
        if self._writer.yielded():
            self._stirred.set()

    async def own(self) -> None:
        """Take the partition over and serve it until somebody else does. Called when commands are queued already.

        Raises:
            CorruptStreamError: the stream cannot be folded.
        """
        await self._writer.take_over()
        committing: asyncio.Task[list[Reply | None]] | None = None
        try:
            while self.serving or committing is not None:
                self._stirred.clear()
                await self._ask_what_is_queued()
                if committing is None and self._under_way:
                    committing = asyncio.create_task(self._writer.commit())
                    committing.add_done_callback(lambda _: self._stirred.set())
                await self._stirred.wait()
                if committing is not None and committing.done():
                    replies, committing = committing.result(), None
                    await self._answer_oldest(replies)
        finally:
            if committing is not None:
                committing.cancel()
            self._writer.stand_by()

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
        await self._answer_oldest([not_owner() for _ in self._under_way])
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if not isinstance(item, Loss):
                await respond(item, not_owner())
            self._queue.task_done()

    async def _ask_what_is_queued(self) -> None:
        while len(self._under_way) < _MAX_UNDER_WAY and not self._queue.empty():
            item, began = self._queue.get_nowait(), time.monotonic()
            try:
                asked = item if isinstance(item, Loss) else parse_command(item.subject, item.data, self.number, self._partitions)
            except RefusedError as error:
                await self._answer(Request(item, None, began), Refusal(code=error.code, message=error.message))
            else:
                if not isinstance(item, Loss) and not isinstance(asked, Loss):
                    self._traces.begin(asked, item.headers)
                self._under_way.append(Request(item, asked, began))
                self._writer.ask(asked)

    async def _answer_oldest(self, replies: Sequence[Reply | None]) -> None:
        for reply in replies:
            await self._answer(self._under_way.popleft(), reply)

    async def _answer(self, request: Request, reply: Reply | None) -> None:
        if reply is not None and not isinstance(request.item, Loss):
            await respond(request.item, reply)
        self._log_line(request, reply)
        self._queue.task_done()

    def _log_line(self, request: Request, reply: Reply | None) -> None:
        asked = request.asked
        seconds = time.monotonic() - request.began
        outcome = reply.code if isinstance(reply, Refusal) else "done"
        self._measure("unreadable" if asked is None else Verb.LOSE if isinstance(asked, Loss) else asked.verb, outcome, seconds)
        fields: dict[str, object] = {"outcome": outcome, "duration_ms": round(seconds * 1000, 2)}
        if isinstance(reply, Refusal):
            fields["reason"] = reply.message
        if isinstance(asked, Loss):
            self._log.warning("gateway_lost", seq=self.partition.last_seq, gateway=asked.gateway, silent=asked.silent, **fields)
            return
        if not isinstance(request.item, Loss):
            fields["subject"] = request.item.subject
        if asked is not None:
            fields |= {"verb": asked.verb, "command": asked.id, "correlation": asked.correlation or asked.id}
            fields |= {"app": asked.app, "room": asked.room}
            self._traces.end(asked.id, outcome)
        self._log.info("command", seq=self.partition.last_seq, **fields)

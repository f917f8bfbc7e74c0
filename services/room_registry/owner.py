"""The owner of one partition: takes what is queued to the partition's writer, all of it at once, and answers."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from services.room_registry.domain.partition import Partition
from services.room_registry.intake import parse_command
from services.room_registry.ledger import MAX_BATCH
from services.room_registry.writer import Asked, Loss, Writer, not_owner
from shared.bus.replies import respond
from shared.contracts.errors import RefusalCode, RefusedError
from shared.contracts.replies import Refusal, Reply

log = structlog.get_logger()

MAX_QUEUED = 4096


class Request(NamedTuple):
    """What is to be carried out, and since when."""

    message: Msg | None
    """None: the owner asks itself, and nobody waits for the answer."""
    asked: Asked | None
    """None: it is no command, and ``refusal`` says why."""
    refusal: Refusal | None
    began: float


class Owner:
    """Owns one partition, or stands by for it.

    Args:
        writer: of the partition.
        partitions: how many there are.
        new_id: makes command ids for the owner's own messages.
    """

    def __init__(self, writer: Writer, partitions: int, new_id: Callable[[], str]) -> None:
        self.number = writer.number
        self._writer = writer
        self._partitions = partitions
        self._new_id = new_id
        self._queue: asyncio.Queue[Msg | Loss] = asyncio.Queue(MAX_QUEUED)
        self._subscription: Subscription | None = None
        self._yielded = asyncio.Event()
        self._log = log.bind(partition=writer.number)

    @property
    def partition(self) -> Partition:
        """The state."""
        return self._writer.partition

    @property
    def serving(self) -> bool:
        """Say whether commands are decided here."""
        return self._writer.serving

    async def offer(self, message: Msg) -> None:
        """Queue a command, or refuse it when the queue is full."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self._log.warning("queue_full", limit=MAX_QUEUED)
            await respond(message, Refusal(code=RefusalCode.OVERLOADED, message="the partition's queue is full", retry=True))

    def declare_lost(self, gateway: str, *, silent: bool) -> None:
        """Queue a gateway to be declared lost, silent or not. Whoever finds it lost says so again until that is committed."""
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(Loss(gateway, self._new_id(), silent))

    def folded(self) -> None:
        """Look whether somebody else has taken the partition over."""
        if self._writer.yielded():
            self._yielded.set()

    async def own(self) -> None:
        """Take the partition over and serve it until somebody else does. Called when commands are queued already.

        Raises:
            CorruptStreamError: the stream cannot be folded.
        """
        self._yielded.clear()
        await self._writer.take_over()
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
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if not isinstance(item, Loss):
                await respond(item, not_owner())
            self._queue.task_done()

    def _with_what_is_queued(self, first: Msg | Loss) -> list[Msg | Loss]:
        items = [first]
        while len(items) < MAX_BATCH and not self._queue.empty():
            items.append(self._queue.get_nowait())
        return items

    async def _answer(self, items: Sequence[Msg | Loss]) -> None:
        requests = [self._parse(item) for item in items]
        try:
            answers = iter(await self._writer.carry_out([request.asked for request in requests if request.asked is not None]))
            for request in requests:
                reply: Reply | None = request.refusal if request.asked is None else next(answers)
                if request.message is not None and reply is not None:
                    await respond(request.message, reply)
                self._log_line(request, reply)
        finally:
            for _ in items:
                self._queue.task_done()

    def _parse(self, item: Msg | Loss) -> Request:
        began = time.monotonic()
        if isinstance(item, Loss):
            return Request(None, item, None, began)
        try:
            command = parse_command(item.subject, item.data, self.number, self._partitions)
        except RefusedError as error:
            return Request(item, None, Refusal(code=error.code, message=error.message), began)
        return Request(item, command, None, began)

    def _log_line(self, request: Request, reply: Reply | None) -> None:
        asked = request.asked
        fields: dict[str, object] = {"outcome": "done", "duration_ms": round((time.monotonic() - request.began) * 1000, 2)}
        if isinstance(reply, Refusal):
            fields |= {"outcome": reply.code, "reason": reply.message}
        if isinstance(asked, Loss):
            self._log.warning("gateway_lost", seq=self.partition.last_seq, gateway=asked.gateway, silent=asked.silent, **fields)
            return
        if request.message is not None:
            fields["subject"] = request.message.subject
        if asked is not None:
            fields |= {"verb": asked.verb, "command": asked.id, "correlation": asked.correlation or asked.id}
            fields |= {"app": asked.app, "room": asked.room}
        self._log.info("command", seq=self.partition.last_seq, **fields)

"""Following the stream: every committed message once, in order, though what carries them may lose some.

The republish is core NATS: fast, and lossy. ``Nats-Sequence`` rises by exactly 1 over the whole stream, so a jump shows
a loss, and the stream itself has what was missed. A loss at the very end shows in nothing, so a round a second asks the
stream's leader how far it has come. Only a finished round counts as having heard the bus.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus.stream import SEQUENCE_HEADER, EventStream, Stored
from shared.contracts.errors import StagedoorError, UnavailableError
from shared.contracts.subjects import PUBLISHED_EVENTS

log = structlog.get_logger()

ROUND_SECONDS = 1.0
MAX_QUEUED = 8192


class StreamRestoredError(StagedoorError):
    """The stream ends before what was already applied: it was restored from an older state, and nothing held is true."""


class StreamTrimmedError(StagedoorError):
    """Messages were deleted that had not been applied yet: whoever was away for so long has to begin anew."""


async def _nothing(_began: float) -> None:
    """The last step of a round that has none."""


class Follower:
    """Follows the stream.

    Args:
        connection: to NATS.
        stream: over the same connection, so that a round proves this connection.
        apply: called with each committed message, in order; must not block. What it raises ends :meth:`run`.
        confirm: the last step of a round, with the monotonic time at which the round began; what raises UnavailableError
            has not been heard.
    """

    def __init__(
        self,
        connection: Client,
        stream: EventStream,
        apply: Callable[[Stored], None],
        confirm: Callable[[float], Awaitable[None]] = _nothing,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._apply = apply
        self._confirm = confirm
        self._queue: asyncio.Queue[Msg] = asyncio.Queue(MAX_QUEUED)
        self._overflowed = 0
        # Who is ordered to catch up, and who follows, must not read the same messages at once.
        self._turn = asyncio.Lock()
        self._heard = asyncio.Event()
        self._takes_holes = False
        self.applied = 0
        """Sequence of the last message applied."""
        self.last = 0
        """Sequence of the last message committed, when a round last asked."""
        self.heard_at = float("-inf")
        """Monotonic time at which the last finished round began."""

    async def start(self, after: int | None = None) -> None:
        """Subscribe, and begin after the message ``after``; None is after what is committed now, as soon as JetStream answers.

        Of what is there already, messages may have been deleted: until the first :meth:`catch_up` is done that is for the caller to
        know about. From then on every message is applied.
        """
        await self._connection.subscribe(PUBLISHED_EVENTS.subscription(), cb=self._enqueue)
        if after is not None:
            self.applied = after
            self._takes_holes = True
            return
        while True:
            try:
                await self._connection.flush()
                self.applied = await self._stream.last_seq()
            except (nats.errors.Error, UnavailableError, TimeoutError) as error:
                log.warning("following_waits", reason=str(error) or type(error).__name__)
                await asyncio.sleep(ROUND_SECONDS / 4)
            else:
                return

    @property
    def lag(self) -> int:
        """How many messages were committed, when a round last asked, that are not applied yet."""
        return max(0, self.last - self.applied)

    async def heard(self) -> None:
        """Wait for the first finished round."""
        await self._heard.wait()

    async def catch_up(self) -> None:
        """Apply everything that is committed now.

        Raises:
            UnavailableError: JetStream does not answer.
            StreamRestoredError: the stream ends before what was applied.
            StreamTrimmedError: messages were deleted before they could be applied.
        """
        applied = self.applied
        self.last = last = await self._stream.last_seq()
        if last < applied:
            raise StreamRestoredError(f"the stream ends at {last}, and {applied} was applied already")
        async with self._turn:
            await self._read(last)
            self._takes_holes = False

    async def run(self) -> None:
        """Apply what comes, and make rounds, for ever.

        Raises:
            StreamRestoredError, StreamTrimmedError: as :meth:`catch_up`.
        """
        # Apart, so that a slow answer to a round does not keep anybody from hearing what is committed.
        rounds = asyncio.create_task(self._make_rounds())
        applying = asyncio.create_task(self._apply_queued())
        try:
            await asyncio.wait({rounds, applying}, return_when=asyncio.FIRST_COMPLETED)
            for task in (applying, rounds):
                if task.done():
                    task.result()
        finally:
            rounds.cancel()
            applying.cancel()

    async def _apply_queued(self) -> None:
        while True:
            message = await self._queue.get()
            async with self._turn:
                await self._take(message)

    async def _make_rounds(self) -> None:
        while True:
            began = time.monotonic()
            try:
                # What is on its way in the queue, too, is applied once.
                await self.catch_up()
                await self._confirm(began)
            except UnavailableError as error:
                log.warning("bus_not_heard", reason=str(error), seconds=round(time.monotonic() - self.heard_at, 1))
            else:
                self.heard_at = began
                self._heard.set()
            await asyncio.sleep(max(0.0, began + ROUND_SECONDS - time.monotonic()))

    async def keep(self, fail: Callable[[str], None]) -> None:
        """Follow until cancelled. ``fail`` is told why, if that cannot go on: who does not hear must not go on either."""
        try:
            await self.run()
        except StagedoorError as error:
            fail(str(error))
        except Exception as error:
            log.exception("following_broken")
            fail(f"following the stream broke: {error}")

    async def _enqueue(self, message: Msg) -> None:
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            # What is dropped here is a gap like any other.
            self._overflowed += 1
            if self._overflowed.bit_count() == 1:
                log.warning("events_overflowed", dropped=self._overflowed)

    async def _take(self, message: Msg) -> None:
        sequence = (message.headers or {}).get(SEQUENCE_HEADER, "")
        if not sequence.isdecimal():
            log.warning("event_without_sequence", subject=message.subject)
            return
        seq = int(sequence)
        if seq <= self.applied:
            return
        if seq > self.applied + 1:
            log.info("gap", applied=self.applied, next=seq)
            await self._heal(seq - 1)
        self._apply(Stored(seq, message.subject, message.data, message.headers))
        self.applied = seq

    async def _heal(self, until: int) -> None:
        while self.applied < until:
            try:
                await self._read(until)
            except UnavailableError as error:
                log.warning("healing_waits", applied=self.applied, until=until, reason=str(error))
                await asyncio.sleep(ROUND_SECONDS / 4)

    async def _read(self, until: int) -> None:
        async for stored in self._stream.read(self.applied, until):
            self._expect(stored.seq)
            self._apply(stored)
            self.applied = stored.seq
        if self.applied < until:
            self._expect(until + 1)
            self.applied = until

    def _expect(self, seq: int) -> None:
        if seq != self.applied + 1 and not self._takes_holes:
            raise StreamTrimmedError(f"messages after {self.applied} and before {seq} were deleted before they were heard")

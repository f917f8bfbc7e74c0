"""Sessions that come, have media, and leave, over and over; and what that leaves behind."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from bench.media.clients import Publisher, Subscriber, use_address
from bench.media.systems import Ours

CYCLES = int(os.environ.get("CYCLES", "80"))
"""Beside those that warm up. `make memory` sets it."""
SEGMENTS = 5
WARM_UP = 100
"""Cycles until caches are filled, tables have their size, and counters are too large for Python's ready-made numbers."""
_PACKETS = 30
_PATIENCE = 20.0
OBJECTS, BLOCKS = 0.5, 0.6
"""A cycle may grow by less than this: what leaks is at least one object, or one block of Python's, in each."""
BYTES = 24 + 10_000 / CYCLES
"""Likewise of malloc's, whose smallest piece has 32 bytes. Few cycles do not tell it from tables that grow; a link in C has 200."""
Memory = dict[str, int]


async def grown(
    cycle: Callable[[], Awaitable[None]], measure: Callable[[], Awaitable[Memory]], cycles: int = CYCLES, warm_up: int = WARM_UP
) -> dict[str, float]:
    """Say by how much memory grows in a cycle, in the best of some segments: a leak is in all of them, a larger table in one."""
    for _ in range(warm_up):
        await cycle()
    measured = [await measure()]
    for _ in range(SEGMENTS):
        for _ in range(cycles // SEGMENTS):
            await cycle()
        measured.append(await measure())
    print(*(f"memory {one}" for one in measured), sep="\n")
    return {name: _least([one[name] for one in measured]) / (cycles // SEGMENTS) for name in measured[0]}


def _least(values: Sequence[int]) -> int:
    return min(after - before for before, after in pairwise(values))


class MediaCycle:
    """One who publishes and one who receives it, with ICE and DTLS, whose engine is in a process of its own."""

    def __init__(self, engine: Ours) -> None:
        self._engine = engine
        self._buffer = memoryview(bytearray(4096))

    @classmethod
    async def with_engine(cls, name: str) -> dict[str, float]:
        """Say what an engine keeps of a cycle."""
        use_address("127.0.0.1")
        engine = await Ours.start("127.0.0.1", name)
        try:
            return await grown(cls(engine).run, engine.memory)
        finally:
            await engine.stop()

    async def run(self) -> None:
        """Come, have media, leave."""
        publisher, subscriber = Publisher(video=True), Subscriber()
        tracks = await self._engine.publish(publisher)
        await self._engine.subscribe(subscriber, [tracks])
        subscriber.begin()
        async with asyncio.timeout(_PATIENCE):
            await self._have_media(publisher, subscriber)
        await self._engine.stop_all()
        await publisher.close()
        await subscriber.close()

    async def _have_media(self, publisher: Publisher, subscriber: Subscriber) -> None:
        """Send packets until some have come, of both kinds and with gaps, which are asked for."""
        assert publisher.video is not None
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(subscriber.socket.fileno(), arrived.set)
        try:
            while sum(tally.count for tally in subscriber.streams.values()) < _PACKETS:
                publisher.video.sequence += 1
                for source, first in ((publisher.video, 96), (publisher.audio, 111)):
                    publisher.send(source, first, b"\x10\x00" + bytes(100))
                arrived.clear()
                # Before DTLS is done at the other end, nothing comes of what is sent.
                loop.call_later(0.02, arrived.set)
                await arrived.wait()
                subscriber.drain(self._buffer)
        finally:
            loop.remove_reader(subscriber.socket.fileno())

"""What one commit costs the stream, by its shape: the figures of docs/adr/0006.

Run: .venv/bin/python bench/commits.py. Starts a nats-server of its own on loopback, twice: every write synced to the disk,
and the server's default. Prints messages per second; compare within one column, for the machine's noise moves all of it.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.js import JetStreamContext, api

from cli.nats_server import LocalNats

DATA = b"x" * 300
SECONDS = 4.0
IN_FLIGHT = 64


async def rate(count: Callable[[], Awaitable[int]]) -> str:
    """Call again and again for a few seconds, and return what was counted per second."""
    began, total = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        total += await count()
    return f"{total / (time.perf_counter() - began):>8,.0f}"


class Shapes:
    """The shapes of a commit on two streams: one with several partitions, one of its own."""

    def __init__(self, js: JetStreamContext) -> None:
        self._js = js
        self._last = 0
        self._last_of_own = 0

    async def bare(self) -> int:
        """Without any expectation, many at once."""
        await asyncio.gather(*(self._js.publish("bare.x", DATA) for _ in range(IN_FLIGHT)))
        return IN_FLIGHT

    async def alone(self) -> int:
        """One after the other, each expecting the one before."""
        ack = await self._js.publish("shared.0.x", DATA, headers=self._fence())
        self._last = ack.seq
        return 1

    async def together(self, size: int) -> int:
        """An atomic batch."""
        batch = secrets.token_hex(8)
        headers = {"Nats-Batch-Id": batch}
        for number in range(1, size):
            fence = self._fence() if number == 1 else {}
            await self._js._nc.publish("shared.0.x", DATA, headers={**headers, "Nats-Batch-Sequence": str(number), **fence})  # noqa: SLF001
        commit = {**headers, "Nats-Batch-Sequence": str(size), "Nats-Batch-Commit": "1"}
        self._last = (await self._js.publish("shared.0.x", DATA, headers=commit)).seq
        return size

    async def chained(self, size: int) -> int:
        """A pipelined chain of expected sequences."""
        expected = [{"Nats-Expected-Last-Sequence": str(self._last_of_own + number)} for number in range(size)]
        await asyncio.gather(*(self._js.publish("own.x", DATA, headers=headers) for headers in expected))
        self._last_of_own += size
        return size

    def _fence(self) -> dict[str, str]:
        return {
            "Nats-Expected-Last-Subject-Sequence": str(self._last),
            "Nats-Expected-Last-Subject-Sequence-Subject": "shared.0.>",
        }


async def measure(*, sync_always: bool) -> None:
    """Measure one setting."""
    with tempfile.TemporaryDirectory() as directory:
        server = LocalNats(Path(directory), sync_always=sync_always)
        await server.start()
        connection = await nats.connect(server.url)
        js = connection.jetstream()
        for name in ("bare", "shared", "own"):
            await js.add_stream(api.StreamConfig(name=name, subjects=[f"{name}.>"], allow_atomic=True))
        shapes = Shapes(js)
        print(f"\nsync_interval: {'always' if sync_always else 'default'}")
        print("  bare, 64 in flight     ", await rate(shapes.bare))
        print("  fenced, one by one     ", await rate(shapes.alone))
        for size in (2, 8, 12, 32, 64, 100):
            print(f"  atomic batch of {size:<7}", await rate(lambda size=size: shapes.together(size)))
        for size in (8, 64):
            print(f"  pipelined chain of {size:<4}", await rate(lambda size=size: shapes.chained(size)))
        await connection.close()
        await server.stop()


async def main() -> None:
    """Measure both."""
    for sync_always in (True, False):
        await measure(sync_always=sync_always)


if __name__ == "__main__":
    asyncio.run(main())

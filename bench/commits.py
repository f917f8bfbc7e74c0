"""What a commit costs.

Run: .venv/bin/python -m bench.commits. Joins and leaves of one partition through a real registry process, 64 in flight, beside
a bare nats-py loop that publishes with acknowledgement, 64 in flight, on the same server: by turns, the middle one of each
counts. Compare within one line. With --shapes instead: what one commit costs the stream by its shape, the figures of
docs/adr/0006 and 0011; compare within one column, for the machine's noise moves all of it.
"""

import argparse
import asyncio
import contextlib
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext, api

from bench.figures import milliseconds, p50, table
from bench.installation import APP, Installation, run
from bench.played_gateway import played_gateway
from bench.processes import cpu_seconds
from cli.nats_server import LocalNats
from shared.contracts.commands import Join, Leave, Role, RoomCommand
from shared.contracts.reasons import LeaveReason
from shared.contracts.subjects import command_subject

DATA = b"x" * 300
SECONDS = 4.0
IN_FLIGHT = 64
ROOMS = 8
_TURNS = 3
_SESSION = "0" * 32
_COMMAND_SECONDS = 10.0


async def rate(count: Callable[[], Awaitable[int]]) -> str:
    """Call again and again for a few seconds, and return what was counted per second."""
    began, total = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        total += await count()
    return f"{total / (time.perf_counter() - began):>8,.0f}"


async def kept_in_flight(once: Callable[[int], Awaitable[int]]) -> float:
    """Have so many workers call again and again for a few seconds; returns what they counted per second."""
    began, total = time.perf_counter(), 0

    async def work(worker: int) -> None:
        nonlocal total
        while time.perf_counter() - began < SECONDS:
            counted = await once(worker)
            total += counted

    async with asyncio.TaskGroup() as group:
        for worker in range(IN_FLIGHT):
            group.create_task(work(worker))
    return total / (time.perf_counter() - began)


class Stays:
    """Joins and leaves, straight to the owner of the only partition.

    The bodies are made once, and only the session in them varies: what is measured is the registry, not its client.
    """

    def __init__(self, connection: Client, gateway: str) -> None:
        self._connection = connection
        self._bodies = [self._of_worker(worker, gateway) for worker in range(IN_FLIGHT)]

    async def stay(self, worker: int) -> int:
        """Join and leave; two commands."""
        session = secrets.token_hex(16).encode()
        for subject, body in self._bodies[worker]:
            reply = await self._connection.request(subject, body.replace(_SESSION.encode(), session), timeout=_COMMAND_SECONDS)
            if b'"refusal"' in reply.data:
                raise RuntimeError(f"the registry refuses: {reply.data.decode()}")
        return 2

    @staticmethod
    def _of_worker(worker: int, gateway: str) -> list[tuple[str, bytes]]:
        what = {"app": APP.sdk_app_id, "room": worker % ROOMS + 1, "session": _SESSION}
        join = Join(id=f"j{_SESSION}", user=f"user-{worker}", role=Role.ANCHOR, gateway=gateway, token=_SESSION * 2, **what)
        leave = Leave(id=f"l{_SESSION}", reason=LeaveReason.LEFT, **what)
        commands: list[RoomCommand] = [join, leave]
        return [(command_subject(0, command.key, command.verb), command.to_bytes()) for command in commands]


async def through_a_registry(*, sync_always: bool, cluster: bool) -> list[str]:
    """Compare committed commands with bare publishes; returns a row of the table."""
    async with contextlib.AsyncExitStack() as stack:
        installation = await stack.enter_async_context(Installation(sync_always=sync_always, cluster=cluster, partitions=1))
        registry = await installation.start("room_registry")
        connection = await installation.connect()
        js = connection.jetstream()
        await js.add_stream(api.StreamConfig(name="bare", subjects=["bare.>"], num_replicas=3 if cluster else 1))
        stays = Stays(connection, await stack.enter_async_context(played_gateway(connection)))

        async def publish(_worker: int) -> int:
            await js.publish("bare.x", DATA)
            return 1

        bare, committed, computed = [], [], []
        for _ in range(_TURNS):
            bare.append(await kept_in_flight(publish))
            before = cpu_seconds(registry.process.pid)
            committed.append(await kept_in_flight(stays.stay))
            computed.append((cpu_seconds(registry.process.pid) - before) / (committed[-1] * SECONDS))
    ratio = p50(committed) / p50(bare)
    figures = [f"{p50(bare):,.0f}/s", f"{p50(committed):,.0f}/s", f"{ratio:.2f}", milliseconds(p50(computed))]
    return ["always" if sync_always else "default", *figures]


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

    async def in_one(self, size: int) -> int:
        """All of them in one message."""
        ack = await self._js.publish("shared.0.x", DATA * size, headers=self._fence())
        self._last = ack.seq
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


async def measure_shapes(*, sync_always: bool) -> None:
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
            print(f"  one message for {size:<7}", await rate(lambda size=size: shapes.in_one(size)))
        for size in (8, 64):
            print(f"  pipelined chain of {size:<4}", await rate(lambda size=size: shapes.chained(size)))
        await connection.close()
        await server.stop()


async def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", action="store_true", help="three NATS servers, streams of three replicas")
    parser.add_argument("--shapes", action="store_true", help="the stream alone, on one server")
    arguments = parser.parse_args()
    if arguments.shapes:
        for sync_always in (True, False):
            await measure_shapes(sync_always=sync_always)
        return
    rows = [await through_a_registry(sync_always=sync_always, cluster=arguments.cluster) for sync_always in (True, False)]
    print(f"Commands of one partition, committed by a registry, {IN_FLIGHT} in flight, R{3 if arguments.cluster else 1}")
    table(["sync_interval", "bare publishes", "committed commands", "ratio (>= 0.15)", "registry CPU a command"], *rows)


if __name__ == "__main__":
    run(main())

"""From RemoveUser over HTTP until the victim's WebSocket has the message, beside a bare request/reply over NATS.

Run: .venv/bin/python -m bench.kick. One kick at a time, each victim joins anew; between two kicks a few requests of a bare
nats-py client to a bare responder in another process. Compare within one line.

With --members 100000 there are two installations side by side, and kicks alternate between them: one is empty, in the other
that many members were joined before, over the bus.
"""

import argparse
import asyncio
import contextlib
import time

from nats.aio.client import Client
from stagedoor_client import SignallingClient

from bench.back_end import BackEnd
from bench.echo import SUBJECT
from bench.figures import milliseconds, p50, p99, table
from bench.installation import APP, Installation, Running, run, talking, user_sig
from bench.members import join_members
from bench.played_gateway import played_gateway
from bench.processes import resident_bytes

DATA = b"x" * 300
REQUESTS_PER_KICK = 3
ROOM = 4_000_000_000
_KICK_SECONDS = 30.0


class Stage:
    """One installation, and who is kicked out of it. Made by :meth:`set_up`."""

    def __init__(self, nats_url: str, connection: Client, registry: Running, gateway: Running, admin: Running) -> None:
        self.nats_url = nats_url
        self.connection = connection
        self.registry = registry
        self._gateway = gateway
        self._admin = admin
        self._kicks = 0
        self.seconds: list[float] = []

    @classmethod
    async def set_up(cls, stack: contextlib.AsyncExitStack, *, sync_always: bool, cluster: bool) -> "Stage":
        """Start all of it; it ends with the stack."""
        installation = await stack.enter_async_context(Installation(sync_always=sync_always, cluster=cluster))
        registry, gateway, admin = [await installation.start(name) for name in ("room_registry", "edge_gateway", "admin_api")]
        return cls(installation.nats_url, await installation.connect(), registry, gateway, admin)

    async def kick(self) -> None:
        """Let somebody in, kick him, and note how long it took until he knew."""
        self._kicks += 1
        # Another user each time: one signed request is one command, however often it comes.
        user = f"victim-{self._kicks}"
        async with (
            asyncio.timeout(_KICK_SECONDS),
            BackEnd.connect(self._admin.address) as back_end,
            SignallingClient.open(self._gateway.address, compression=None, ping_interval=None) as victim,
        ):
            await victim.join(app=APP.sdk_app_id, user=user, sig=user_sig(user), room=ROOM)
            request = back_end.prepare("RemoveUser", RoomId=ROOM, UserIds=[user])
            began = time.perf_counter()
            back_end.send(request)
            await victim.expect("ended")
            self.seconds.append(time.perf_counter() - began)
            await victim.acknowledge()
            await back_end.answer()
            await victim.closed()


async def ask(connection: Client) -> list[float]:
    """Time some bare requests."""
    seconds = []
    for _ in range(REQUESTS_PER_KICK):
        began = time.perf_counter()
        await connection.request(SUBJECT, DATA)
        seconds.append(time.perf_counter() - began)
    return seconds


async def measure(kicks: int, *, sync_always: bool, cluster: bool) -> list[str]:
    """Kick in an empty installation; returns a row of the table."""
    async with contextlib.AsyncExitStack() as stack:
        stage = await Stage.set_up(stack, sync_always=sync_always, cluster=cluster)
        bare = await _alternate(stack, kicks, stage)
    return ["always" if sync_always else "default", milliseconds(p50(bare)), *_compared(stage, p50(bare))]


async def measure_full(kicks: int, members: int, rooms: int, *, cluster: bool) -> None:
    """Kick in an empty installation and in a full one by turns, and print both."""
    async with contextlib.AsyncExitStack() as stack:
        empty, full = [await Stage.set_up(stack, sync_always=True, cluster=cluster) for _ in range(2)]
        # What the first kick of a process loads is no member's memory.
        await full.kick()
        full.seconds.clear()
        before = resident_bytes(full.registry.process.pid)
        gateway = await stack.enter_async_context(played_gateway(full.connection))
        seconds = await join_members(full.connection, gateway, members, rooms)
        after = resident_bytes(full.registry.process.pid)
        bare = p50(await _alternate(stack, kicks, empty, full))
    print(f"{members:,} members joined {rooms:,} rooms in {seconds:.0f} s")
    print(f"registry: {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after: {(after - before) / members:,.0f} bytes a member")
    head = ["installation", "bare request p50", "kick p50", "kick p99", "p50 / bare p50", "p99 / bare p50"]
    rows = [[name, milliseconds(bare), *_compared(stage, bare)] for name, stage in (("empty", empty), ("full", full))]
    table(head, *rows)
    print(f"kick p50, full / empty: {p50(full.seconds) / p50(empty.seconds):.2f} (at most 1.3)")


async def _alternate(stack: contextlib.AsyncExitStack, kicks: int, *stages: Stage) -> list[float]:
    """Kick on each stage by turns, with bare requests in between; returns their times."""
    responder = await stack.enter_async_context(talking("bench.echo", stages[0].nats_url))
    await responder.hear()
    bare: list[float] = []
    for _ in range(kicks):
        for stage in stages:
            bare += await ask(stages[0].connection)
            await stage.kick()
    return bare


def _compared(stage: Stage, bare: float) -> list[str]:
    middle, high = p50(stage.seconds), p99(stage.seconds)
    return [milliseconds(middle), milliseconds(high), f"{middle / bare:.1f}", f"{high / bare:.1f}"]


async def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kicks", type=int, default=300)
    parser.add_argument("--cluster", action="store_true", help="three NATS servers, streams of three replicas")
    parser.add_argument("--members", type=int, default=0, help="compare an empty installation with one of so many members")
    parser.add_argument("--rooms", type=int, default=10_000)
    arguments = parser.parse_args()
    if arguments.members:
        await measure_full(arguments.kicks, arguments.members, arguments.rooms, cluster=arguments.cluster)
        return
    rows = [await measure(arguments.kicks, sync_always=always, cluster=arguments.cluster) for always in (True, False)]
    print(f"RemoveUser over HTTP until the victim's WebSocket has the message; {arguments.kicks} kicks, one at a time")
    table(["sync_interval", "bare request p50", "kick p50", "kick p99", "p50 / bare p50 (<= 8)", "p99 / bare p50 (<= 25)"], *rows)


if __name__ == "__main__":
    run(main())

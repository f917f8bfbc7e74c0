"""What a session takes: memory and stream at the registry, memory and idle CPU at a gateway, without media.

Run: .venv/bin/python -m bench.sizes. Sessions are joined over the bus, 50 to a room, and resident memory and the stream's bytes are
read before and after. Then sockets join one gateway as audience, and its memory is read before and after, and its CPU while they do
nothing. Memory differs by little from run to run; the share of a core is this machine's.
"""

import argparse
import asyncio
import contextlib

from bench.dismiss import Crowds, allow_sockets
from bench.figures import table
from bench.installation import Installation, run
from bench.members import join_members
from bench.played_gateway import played_gateway
from bench.processes import cpu_seconds, resident_bytes
from shared.contracts.subjects import STREAM

_IN_ROOM = 50
_IDLE_SECONDS = 20.0
_ROOM = 1


async def at_a_registry(members: int) -> list[str]:
    """Join so many over the bus. Returns a row: KiB of memory and of the stream for each."""
    async with contextlib.AsyncExitStack() as stack:
        installation = await stack.enter_async_context(Installation(sync_always=False))
        registry = await installation.start("room_registry")
        connection = await installation.connect()
        gateway = await stack.enter_async_context(played_gateway(connection))
        before = resident_bytes(registry.process.pid)
        await join_members(connection, gateway, members, members // _IN_ROOM)
        memory = resident_bytes(registry.process.pid) - before
        info = await connection.jetstream().stream_info(STREAM)
        return ["registry", f"{members:,}", f"{memory / members / 1024:.1f}", f"{info.state.bytes / members / 1024:.2f}"]


async def at_a_gateway(sessions: int) -> list[str]:
    """Bring so many sockets to one gateway. Returns a row: KiB of memory for each, and the share of a core that idle ones take."""
    async with contextlib.AsyncExitStack() as stack:
        installation = await stack.enter_async_context(Installation(max_connections=sessions + 100))
        _, gateway = [await installation.start(name) for name in ("room_registry", "edge_gateway")]
        before = resident_bytes(gateway.process.pid)
        await Crowds.gather(stack, gateway.port, sessions, _ROOM)
        memory = resident_bytes(gateway.process.pid) - before
        computed = cpu_seconds(gateway.process.pid)
        await asyncio.sleep(_IDLE_SECONDS)
        share = (cpu_seconds(gateway.process.pid) - computed) / _IDLE_SECONDS
        return ["gateway", f"{sessions:,}", f"{memory / sessions / 1024:.1f}", f"{share * 100:.1f} %"]


async def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--sessions", type=int, default=4_000)
    arguments = parser.parse_args()
    table(["service", "sessions", "memory KiB each", "stream KiB each"], await at_a_registry(arguments.members))
    table(["service", "sessions", "memory KiB each", "idle, of a core"], await at_a_gateway(min(arguments.sessions, allow_sockets())))


if __name__ == "__main__":
    run(main())

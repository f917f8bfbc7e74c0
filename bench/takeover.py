"""How long a partition's commands stand still when its owner ends: killed with -9, and asked to end with SIGTERM.

Run: .venv/bin/python -m bench.takeover. Two registries; joins and leaves of one partition
are sent at a steady pace by a client that repeats what is not answered. The stall is the longest time between two answers
from the signal on until the successor has answered for a while. A command that is never answered is counted as lost.
"""

import argparse
import asyncio
import contextlib
import secrets
import signal
import time

from nats.aio.client import Client

from bench.figures import milliseconds, p50, table
from bench.installation import APP, Installation, Running, run
from bench.played_gateway import played_gateway
from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient, deadline
from shared.contracts.commands import Join, Leave, Role
from shared.contracts.errors import StagedoorError
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.subjects import partition_of

PARTITION = 0
_PACE_SECONDS = 0.01
_COMMAND_SECONDS = 30.0
_AFTERWARDS_SECONDS = 0.5
_OWNED_SECONDS = 30.0
SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM}


class Load:
    """Joins and leaves of one partition, at a steady pace; notes when each was answered."""

    def __init__(self, connection: Client, partitions: int, gateway: str) -> None:
        self._client = CommandClient(connection, partitions)
        self._room = next(room for room in range(1, 10_000) if partition_of(RoomKey(APP.sdk_app_id, room), partitions) == PARTITION)
        self._gateway = gateway
        self._stays: set[asyncio.Task[None]] = set()
        self.answered: list[float] = []
        self.lost = 0

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            stay = asyncio.create_task(self._stay())
            self._stays.add(stay)
            stay.add_done_callback(self._stays.discard)
            await asyncio.sleep(_PACE_SECONDS)

    async def all_answered(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._stays)

    async def _stay(self) -> None:
        session = secrets.token_hex(16)
        what = {"app": APP.sdk_app_id, "room": self._room, "session": session, "expires_at": deadline(_COMMAND_SECONDS)}
        try:
            join = Join(id=f"j{session}", user=session, role=Role.AUDIENCE, gateway=self._gateway, token=session * 2, **what)
            await self._client.send(join)
            self.answered.append(time.monotonic())
            await self._client.send(Leave(id=f"l{session}", reason=LeaveReason.LEFT, **what))
            self.answered.append(time.monotonic())
        except StagedoorError as error:
            print(f"lost: {error}")
            self.lost += 1

    def longest_gap(self, after: float) -> float:
        """Return the longest time between two answers that ended after a moment."""
        pairs = zip(self.answered, self.answered[1:], strict=False)
        return max(later - earlier for earlier, later in pairs if later > after)


def takings(registries: list[Running]) -> list[Running]:
    """Read in the logs which registries took the partition, one after the other; the last one owns it."""
    taken = [
        (str(line["timestamp"]), registry)
        for registry in registries
        for line in registry.lines()
        if line.get("event") == "partition_owned" and line.get("partition") == PARTITION
    ]
    return [registry for _, registry in sorted(taken, key=lambda pair: pair[0])]


async def one_try(installation: Installation, registries: list[Running], load: Load, number: signal.Signals) -> float:
    """End the owner, and start another registry in its stead; returns the stall."""
    before = takings(registries)
    began = time.monotonic()
    ending = asyncio.create_task(before[-1].end(number))
    async with asyncio.timeout(_OWNED_SECONDS):
        while len(takings(registries)) == len(before):  # noqa: ASYNC110 -- another process takes over without telling this one
            await asyncio.sleep(0.1)
    await asyncio.sleep(_AFTERWARDS_SECONDS)
    await load.all_answered()
    stall = load.longest_gap(began)
    await ending
    registries.remove(before[-1])
    registries.append(await installation.start("room_registry"))
    # The newcomer takes what falls to it; that is no part of the next try.
    await asyncio.gather(*(registry.until_ready() for registry in registries))
    await asyncio.sleep(_AFTERWARDS_SECONDS)
    return stall


async def measure(tries: int, *, cluster: bool) -> None:
    """Measure and print."""
    stalls: dict[str, list[float]] = {name: [] for name in SIGNALS}
    async with contextlib.AsyncExitStack() as stack:
        installation = await stack.enter_async_context(Installation(cluster=cluster))
        registries = [await installation.start("room_registry") for _ in range(2)]
        connection = await installation.connect()
        partitions = await EventStream(connection).wait_for_partitions()
        load = Load(connection, partitions, await stack.enter_async_context(played_gateway(connection)))
        loading = asyncio.create_task(load.run())
        for _ in range(tries):
            for name, number in SIGNALS.items():
                stalls[name].append(await one_try(installation, registries, load, number))
        loading.cancel()
        await load.all_answered()
    print(f"{len(load.answered):,} commands of one partition answered, {load.lost} lost; {tries} tries of each, R{3 if cluster else 1}")
    rows = [[name, milliseconds(p50(seconds)), milliseconds(max(seconds))] for name, seconds in stalls.items()]
    table(["the owner's end", "stall p50", "stall max"], *rows)


async def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20, help="of each signal")
    parser.add_argument("--cluster", action="store_true", help="three NATS servers, streams of three replicas")
    arguments = parser.parse_args()
    await measure(arguments.tries, cluster=arguments.cluster)


if __name__ == "__main__":
    run(main())

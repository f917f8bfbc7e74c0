"""Forwarded packets: what they cost, how long they take and how many are lost, ours beside Janus.

Run: make bench-media, or .venv/bin/python -m bench.media [--load NAME]... [--seconds N] [--rounds N] [--highest] [--peers]. It makes a
network of its own, as Janus uses no loopback interface, and needs Debian's ``janus``. Systems alternate within a round; compare
within one load: CPU is of the server's process, all threads, user and system, for each packet that arrived.
"""

import argparse
import asyncio
import os
import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bench.figures import p50, p99, table
from bench.media.clients import Player, Probe, Publisher, Sinks, Subscriber, use_address
from bench.media.peers import Peers, connect_and_close
from bench.media.systems import Janus, Ours, System, missing
from bench.processes import cpu_seconds
from tests.browser import in_namespace

_T = TypeVar("_T")

_AT_ONCE = 8
_WARM = 2.0
_PEERS = 200


@dataclass(frozen=True)
class Load:
    """So many publishers, so many subscribers, so many publishers for each of these."""

    publishers: int
    subscribers: int
    feeds: int
    video: bool = True


LOADS = {
    "conference": Load(10, 24, 6),
    "broadcast": Load(1, 200, 1),
    "audio": Load(40, 40, 9, video=False),
    "four": Load(24, 24, 3),
}
SYSTEMS: dict[str, Callable[[str], Awaitable[System]]] = {
    "native": lambda address: Ours.start(address, "native"),
    "python": lambda address: Ours.start(address, "python"),
    "janus, 2 event loops": lambda address: Janus.start(address, 2),
    "janus, default": lambda address: Janus.start(address, 0),
}
REFERENCE = "janus, 2 event loops"


@dataclass(frozen=True)
class Figures:
    """Of one run."""

    cpu: float
    """Seconds per packet."""
    core: float
    """Of one core."""
    rate: float
    """Packets per second that arrived."""
    lost: float
    """Of those that should have arrived."""
    latencies: tuple[float, float]
    """The middle one, and what one in a hundred exceeds, in seconds."""


async def run(system: System, load: Load, seconds: float) -> Figures:
    """Put a load on a system."""
    player, sinks, probe = Player(), Sinks(), Probe()
    feeds = []
    try:
        for _ in range(load.publishers):
            publisher = Publisher(video=load.video)
            feeds.append(await system.publish(publisher))
            player.add(publisher)

        def wanted(index: int) -> list[object]:
            if load.feeds == 3:  # rooms of four: everybody hears the others of the room
                room = index - index % 4
                return [feeds[room + other] for other in range(4) if room + other != index]
            return [feeds[(index + 1 + other) % len(feeds)] for other in range(min(load.feeds, len(feeds)))]

        async def subscribe(index: int) -> None:
            subscriber = Subscriber()
            await system.subscribe(subscriber, wanted(index))
            subscriber.begin()
            sinks.all.append(subscriber)

        await system.subscribe(probe, wanted(0))
        probe.begin()
        for first in range(0, load.subscribers, _AT_ONCE):
            await asyncio.gather(*(subscribe(index) for index in range(first, min(first + _AT_ONCE, load.subscribers))))
        await system.settle()
        reporting = asyncio.create_task(_report(sinks))
        await asyncio.sleep(_WARM)
        probe.latencies.clear()
        before, cpu, began = sinks.counted(), cpu_seconds(system.pid), asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        after, spent = sinks.counted(), cpu_seconds(system.pid) - cpu
        took = asyncio.get_running_loop().time() - began
        reporting.cancel()
    finally:
        probe.stop()
        player.stop()
        sinks.stop()
    arrived, expected = after[0] - before[0], after[1] - before[1]
    latencies = probe.latencies or [0.0]
    return Figures(
        cpu=spent / max(arrived, 1),
        core=spent / took,
        rate=arrived / took,
        lost=(expected - arrived) / max(expected, 1),
        latencies=(p50(latencies), p99(latencies)),
    )


async def _report(sinks: Sinks) -> None:
    while True:
        await asyncio.sleep(1)
        for one in sinks.all:
            await one.report()


async def attempt(label: str, measurement: Callable[[System], Awaitable[_T]]) -> _T | None:
    """Start a system and measure it. None: not everybody could connect, and that is said."""
    system = await SYSTEMS[label](in_namespace.ADDRESS)
    try:
        return await measurement(system)
    except (RuntimeError, ConnectionError, TimeoutError) as error:
        print(f"{label}: no figures, {error or type(error).__name__}")
        return None
    finally:
        await system.stop()


async def measure(name: str, load: Load, options: argparse.Namespace) -> None:
    """Measure one load on all systems, and print."""
    found: dict[str, list[Figures]] = defaultdict(list)
    for _ in range(options.rounds):
        for label in options.system or SYSTEMS:
            figures = await attempt(label, partial(run, load=load, seconds=options.seconds))
            if figures is not None:
                found[label].append(figures)
    print(f"{name}: {load.publishers} publishers, {load.subscribers} subscribers of {load.feeds}; machine's load {os.getloadavg()[0]:.1f}")
    reference = [figures.cpu for figures in found.get(REFERENCE, [])]
    rows = []
    for label, runs in found.items():
        base = statistics.median(reference) if reference else 0.0
        ratios = [figures.cpu / base for figures in runs] if base else []
        rows.append(
            [
                label,
                _spread([figures.cpu * 1e6 for figures in runs], ".1f"),
                _spread(ratios, ".2f") if ratios else "",
                _spread([figures.core * 100 for figures in runs], ".0f"),
                _spread([figures.rate / 1000 for figures in runs], ".1f"),
                _spread([figures.lost * 100 for figures in runs], ".2f"),
                _spread([figures.latencies[0] * 1e3 for figures in runs], ".2f"),
                _spread([figures.latencies[1] * 1e3 for figures in runs], ".2f"),
            ]
        )
    table(["", "µs/packet", "ratio", "% of a core", "1000/s", "lost %", "p50 ms", "p99 ms"], *rows)


def _spread(values: list[float], form: str) -> str:
    middle = format(statistics.median(values), form)
    return middle if len(values) == 1 else f"{middle} ({format(min(values), form)}-{format(max(values), form)})"


async def highest(options: argparse.Namespace) -> None:
    """Find the highest rate that arrives whole, in steps, for each system."""
    rows = []
    for label in options.system or SYSTEMS:
        best: Figures | None = None
        for subscribers in range(16, 120, 8):
            figures = await attempt(label, partial(run, load=Load(20, subscribers, 10), seconds=options.seconds))
            if figures is None or figures.lost > 0.0005:
                break
            best = figures
        if best is not None:
            rows.append(
                [label, f"{best.rate / 1000:.0f}", f"{best.core * 100:.0f}", f"{best.cpu * 1e6:.1f}", f"{best.latencies[1] * 1e3:.1f}"]
            )
    print("highest rate without loss, 20 publishers, subscribers of 10 each")
    table(["", "1000/s", "% of a core", "µs/packet", "p99 ms"], *rows)


async def peers(options: argparse.Namespace) -> None:
    """Measure what peers cost that send nothing."""
    found: dict[str, list[Peers]] = defaultdict(list)
    for _ in range(options.rounds):
        for label in options.system or SYSTEMS:
            costs = await attempt(label, partial(connect_and_close, subscribers=_PEERS))
            if costs is not None:
                found[label].append(costs)
    rows = [
        [
            label,
            _spread([1 / costs.setup for costs in runs], ".0f"),
            _spread([costs.memory / 1024 for costs in runs], ".0f"),
            _spread([costs.idle * 100_000 for costs in runs], ".1f"),
            _spread([costs.close * 1000 for costs in runs if costs.close is not None] or [float("nan")], ".0f"),
        ]
        for label, runs in found.items()
    ]
    print(f"{_PEERS} subscribers of a publisher who sends nothing; machine's load {os.getloadavg()[0]:.1f}")
    table(["", "set-ups a second of a core", "KiB a peer", "% of a core, 1,000 idle", "room closed, last knows, ms"], *rows)


async def main(options: argparse.Namespace) -> None:
    """Measure what was asked for."""
    use_address(in_namespace.ADDRESS)
    for name in options.load or ([] if options.peers else LOADS):
        await measure(name, LOADS[name], options)
    if options.peers:
        await peers(options)
    if options.highest:
        await highest(options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--load", action="append", choices=LOADS)
    parser.add_argument("--system", action="append", choices=SYSTEMS)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--highest", action="store_true")
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    if absent := missing():
        raise SystemExit(absent)
    in_namespace.enter()
    in_namespace.build()
    asyncio.run(main(arguments))

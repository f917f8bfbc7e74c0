"""What peers cost that send nothing: to connect, to keep, and to let go together."""

import asyncio
import time
from dataclasses import dataclass

from bench.media.clients import Connection, Publisher
from bench.media.systems import Ours, System
from bench.processes import cpu_seconds, resident_bytes

_AT_ONCE = 8
_IDLE_SECONDS = 10.0
_CLOSE_SECONDS = 20.0


@dataclass(frozen=True)
class Peers:
    """Of one run."""

    setup: float
    """Seconds of the server's CPU for each set-up: ICE, DTLS, and what is said for it."""
    memory: float
    """Bytes of resident memory for each connected peer."""
    idle: float
    """Share of one core that each connected peer takes while nothing is sent."""
    close: float | None
    """Seconds until the last has heard that its connection was closed, of a room that is closed at once; None where nobody says so."""


async def connect_and_close(system: System, subscribers: int) -> Peers:
    """Connect so many to one silent publisher, wait, and close it all."""
    feed = await system.publish(Publisher(video=True))
    # What the first of a kind loads is no peer's.
    warm = [Connection() for _ in range(_AT_ONCE)]
    await asyncio.gather(*(system.subscribe(each, [feed]) for each in warm))
    memory, cpu = resident_bytes(system.pid), cpu_seconds(system.pid)
    peers = [Connection() for _ in range(subscribers)]
    for first in range(0, subscribers, _AT_ONCE):
        await asyncio.gather(*(system.subscribe(each, [feed]) for each in peers[first : first + _AT_ONCE]))
    setup = (cpu_seconds(system.pid) - cpu) / subscribers
    memory = resident_bytes(system.pid) - memory
    cpu, began = cpu_seconds(system.pid), time.monotonic()
    await asyncio.sleep(_IDLE_SECONDS)
    idle = (cpu_seconds(system.pid) - cpu) / (time.monotonic() - began) / subscribers
    close = await _close(system, [*warm, *peers]) if isinstance(system, Ours) else None
    return Peers(setup, memory / subscribers, idle, close)


async def _close(system: Ours, peers: list[Connection]) -> float:
    closed = [asyncio.Event() for _ in peers]
    for peer, event in zip(peers, closed, strict=True):
        peer.dtls.on("statechange", event.set)
    began = time.monotonic()
    await system.stop_all()
    async with asyncio.timeout(_CLOSE_SECONDS):
        await asyncio.gather(*(event.wait() for event in closed))
    return time.monotonic() - began

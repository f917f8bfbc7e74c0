"""What media is measured by: what streams carried, how long that took, and what was not done. Pure.

A stream says what it has carried in all; a meter adds what is new of that to its peer connection and to everybody's. So what is read of
a worker has one size, whatever goes on in it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeVar

from services.edge_gateway.media.interface import KINDS, Connection, Kind

FORWARDING_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
"""Upper bounds of the buckets, here and below; a last one takes what is more."""
LINE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
Dropped = Literal["too_long", "not_sent", "too_fast"]
"""Datagrams that came longer than may be, that the kernel did not take, and that came beyond a peer connection's rate."""
Name = TypeVar("Name", bound=str)


@dataclass(slots=True)
class Traffic:
    """What a stream carried so far, or several; towards us, or from us."""

    packets: int = 0
    """Each once, repairs not counted."""
    octets: int = 0
    """Of their payloads."""
    lost: int = 0
    """By the receiver's count, which a repair makes less (RFC 3550, 6.4.1)."""
    nacks: int = 0
    """Packets that the receiver has asked for again."""
    key_frame_requests: int = 0
    """By the receiver."""
    repairs: int = 0
    """Packets that were sent again and, where we are the receiver, were missing."""

    def add(self, more: "Traffic") -> None:
        """Add another's."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(more, one.name))

    def since(self, before: "Traffic") -> "Traffic":
        """Return what has come since then."""
        return Traffic(*(getattr(self, one.name) - getattr(before, one.name) for one in fields(self)))


@dataclass(slots=True)
class Histogram:
    """How often something took how long."""

    counts: list[int]
    """Of each bucket by itself."""
    total: float = 0.0
    """Seconds."""

    @classmethod
    def over(cls, bounds: Sequence[float]) -> "Histogram":
        """Make an empty one."""
        return cls([0] * (len(bounds) + 1))

    def observe(self, bounds: Sequence[float], seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(bounds, seconds)] += 1
        self.total += seconds

    def add(self, more: "Histogram") -> None:
        """Add another's, with the same bounds."""
        self.counts = [one + other for one, other in zip(self.counts, more.counts, strict=True)]
        self.total += more.total


def _by_kind() -> dict[Kind, Traffic]:
    return {kind: Traffic() for kind in KINDS}


@dataclass(slots=True)
class Measures:
    """Of an engine, or of several."""

    received: dict[Kind, Traffic] = field(default_factory=_by_kind)
    sent: dict[Kind, Traffic] = field(default_factory=_by_kind)
    forwarding: Histogram = field(default_factory=lambda: Histogram.over(FORWARDING_SECONDS))
    """Of packets that went to somebody: from when they were read from the socket until the last one was sent."""
    round_trip: Histogram = field(default_factory=lambda: Histogram.over(LINE_SECONDS))
    """To those who receive, by their reports (RFC 3550, 6.4.1)."""
    jitter: Histogram = field(default_factory=lambda: Histogram.over(LINE_SECONDS))
    """Of what publishers send."""
    dropped: dict[Dropped, int] = field(default_factory=dict)
    connections: dict[Connection, int] = field(default_factory=dict)
    """Peer connections at the moment."""
    subscriptions: int = 0
    """Tracks that are sent to somebody at the moment, each as often as it is."""
    workers: dict[str, int] = field(default_factory=dict)
    """How many there are of each engine."""
    cpu_seconds: float = 0.0
    """Of the processes."""

    def add(self, more: "Measures") -> None:
        """Add another's."""
        for kind in KINDS:
            self.received[kind].add(more.received[kind])
            self.sent[kind].add(more.sent[kind])
        self.forwarding.add(more.forwarding)
        self.round_trip.add(more.round_trip)
        self.jitter.add(more.jitter)
        self.dropped = _sum(self.dropped, more.dropped)
        self.connections = _sum(self.connections, more.connections)
        self.subscriptions += more.subscriptions
        self.workers = _sum(self.workers, more.workers)
        self.cpu_seconds += more.cpu_seconds

    def ended(self) -> "Measures":
        """Return what stays of it when the engine is no more: what was counted, and nothing of what there is."""
        left = Measures()
        left.add(self)
        left.connections, left.subscriptions, left.workers = {}, 0, {}
        return left


def sum_of(all_measures: Iterable[Measures]) -> Measures:
    """Add several up."""
    total = Measures()
    for one in all_measures:
        total.add(one)
    return total


def _sum(one: Mapping[Name, int], other: Mapping[Name, int]) -> dict[Name, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *other)}


class Meter:
    """What one peer connection carried.

    Args:
        everybody: what is carried in its direction; all of it is added there.
    """

    def __init__(self, everybody: Mapping[Kind, Traffic]) -> None:
        self.total = Traffic()
        self._everybody = everybody
        self._counted: dict[int, Traffic] = {}

    def count(self, ssrc: int, kind: Kind, traffic: Traffic) -> None:
        """Add what a stream has carried since it was counted last.

        Args:
            ssrc: the stream's.
            kind: its.
            traffic: all that it has carried.
        """
        before = self._counted.get(ssrc, _NOTHING)
        traffic.lost = max(traffic.lost, before.lost)  # what was said to be lost stays said
        self._counted[ssrc] = traffic
        new = traffic.since(before)
        self.total.add(new)
        self._everybody[kind].add(new)

    def end(self, ssrc: int) -> None:
        """Forget a stream; what it carried stays."""
        self._counted.pop(ssrc, None)


_NOTHING = Traffic()

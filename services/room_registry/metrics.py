"""What a registry counts and measures. Sums over all replicas are right: what all of them fold, only the owner shows."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from nats.aio.client import Client
from nats.js.api import StreamInfo
from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from services.room_registry.ledger import Ledger
from services.room_registry.owner import Owner
from shared.contracts.commands import ROOM_COMMANDS, Role
from shared.contracts.errors import FencedError, RefusedError, UnknownOutcomeError
from shared.contracts.events import Event
from shared.contracts.facts import Dissolved, GatewayLost, Joined, Left
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import DismissReply
from shared.contracts.subjects import Part
from shared.metrics import FollowerMetrics, Looked
from shared.tracing import Context

_FAILURES = {FencedError: "fenced", UnknownOutcomeError: "unknown", RefusedError: "refused"}


class RegistryMetrics(FollowerMetrics):
    """The metrics of one replica."""

    def __init__(self) -> None:
        super().__init__(Part.REGISTRY)
        self._owners: Sequence[Owner] = ()
        self._uncovered: Callable[[int], int] = int
        self._stream_info: Callable[[], StreamInfo | None] = lambda: None
        self._commands = self._counter("commands_total", "Commands answered; the outcome is done, or why not.", "verb", "outcome")
        self._command_seconds = self._seconds("command_duration_seconds", "From the owner's queue to the answer.", "verb")
        self._commits = self._seconds("commit_duration_seconds", "Messages, from their sending until the stream has them.")
        self._events = self._counter(
            "committed_events_total", "Events committed, one for each command that is remembered or changed something."
        )
        self._failed = self._counter("commit_failures_total", "Commits that failed, or may have.", "cause")
        joined = self._counter("sessions_joined_total", "Sessions that came in.", "role")
        ended = self._counter("sessions_ended_total", "Sessions that ended.", "reason")
        self._lost = self._counter("gateways_lost_total", "Losses of gateways; each partition declares its own.")
        self._unread = self._counter("lease_read_failures_total", "Leases of gateways that could not be read.")
        self._snapshots = self._counter("snapshots_total", "Snapshots tried.", "outcome")
        self._replicas = self._gauge("registry_replicas", "Registries that this one knows to be there, itself included.")
        # A rate needs the zero before the first of a kind. And where it is hot, finding one by its labels costs more than counting.
        self._joined = {role: joined.labels(role) for role in Role}
        self._ended = {reason: ended.labels(reason) for reason in LeaveReason}
        self._answers = {(str(verb), "done"): self._answer(verb, "done") for verb in ROOM_COMMANDS}
        for cause in _FAILURES.values():
            self._failed.labels(cause)
        for outcome in ("written", "failed"):
            self._snapshots.labels(outcome)
        self.registry.register(Looked(self._look_at_partitions))
        self.registry.register(Looked(self._look_at_stream))

    def watch_partitions(self, owners: Sequence[Owner], uncovered: Callable[[int], int]) -> None:
        """Say where to look for the partitions' state; ``uncovered`` counts messages since a partition's last snapshot."""
        self._owners, self._uncovered = owners, uncovered

    def watch_stream(self, info: Callable[[], StreamInfo | None]) -> None:
        """Say where to look for what the stream's leader said last."""
        self._stream_info = info

    def watch_replicas(self, number: Callable[[], int]) -> None:
        """Say where to look for how many registries there are."""
        self._replicas.set_function(number)

    def answered(self, verb: str, outcome: str, seconds: float) -> None:
        """Count an answer."""
        if (found := self._answers.get((verb, outcome))) is None:
            found = self._answers[verb, outcome] = self._answer(verb, outcome)
        counter, histogram = found
        counter.inc()
        histogram.observe(seconds)

    def committed(self, events: Sequence[Event], seconds: float) -> None:
        """Count a message of the stream, and what it says has happened."""
        self._commits.observe(seconds)
        self._events.inc(len(events))
        for event in events:
            for fact in event.message.facts:
                match fact:
                    case Joined():
                        self._joined[fact.role].inc()
                    case Left():
                        self._ended[fact.reason].inc(len(fact.sessions))
                    case Dissolved():
                        self._ended[LeaveReason.DISMISSED].inc(_dismissed(event))
                    case GatewayLost():
                        self._lost.inc()

    def not_committed(self, error: FencedError | UnknownOutcomeError | RefusedError) -> None:
        """Count a commit that failed, or may have."""
        self._failed.labels(_FAILURES[type(error)]).inc()

    def leases_unread(self, number: int) -> None:
        """Count leases of gateways that could not be read."""
        self._unread.inc(number)

    def snapshot(self, written: bool) -> None:  # noqa: FBT001 -- called as a measure
        """Count a snapshot."""
        self._snapshots.labels("written" if written else "failed").inc()

    def _answer(self, verb: str, outcome: str) -> tuple[Counter, Histogram]:
        return self._commands.labels(verb, outcome), self._command_seconds.labels(verb)

    def _look_at_partitions(self) -> Iterable[Metric]:
        def family(name: str, about: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"stagedoor_{name}", about, labels=["partition"])

        owned = family("partition_owned", "1 where this registry decides the partition's commands.")
        rooms = family("rooms", "Rooms, in partitions owned here.")
        sessions = family("sessions", "Sessions in rooms, in partitions owned here.")
        queued = family("commands_queued", "Commands in the owner's queue, those with the writer included.")
        uncovered = family("partition_uncovered_messages", "Messages since the last snapshot, of partitions owned here.")
        for owner in self._owners:
            label = [str(owner.number)]
            owned.add_metric(label, owner.serving)
            if owner.serving:
                rooms.add_metric(label, len(owner.partition.rooms))
                sessions.add_metric(label, owner.partition.live)
                queued.add_metric(label, owner.queued)
                uncovered.add_metric(label, self._uncovered(owner.number))
        return owned, rooms, sessions, queued, uncovered

    def _look_at_stream(self) -> Iterable[Metric]:
        size = GaugeMetricFamily("stagedoor_stream_bytes", "Size of the event stream.")
        bound = GaugeMetricFamily(
            "stagedoor_stream_max_bytes", "Size at which the event stream refuses more; none is shown where there is none."
        )
        if (info := self._stream_info()) is not None:
            size.add_metric([], info.state.bytes)
            if (most := info.config.max_bytes or -1) > 0:
                bound.add_metric([], most)
        return size, bound


class MeteredLedger(Ledger):
    """A ledger whose commits are counted.

    Args:
        connection: to NATS.
        trace_of: as of :class:`Ledger`.
        metrics: where they are counted.
    """

    def __init__(self, connection: Client, trace_of: Callable[[str], Context], metrics: RegistryMetrics) -> None:
        super().__init__(connection, trace_of)
        self._metrics = metrics

    async def commit(self, partition: int, expected: int, events: Sequence[Event]) -> AsyncIterator[tuple[int, Sequence[Event]]]:
        """Append events; as :meth:`Ledger.commit`."""
        began = time.monotonic()
        try:
            async for seq, committed in super().commit(partition, expected, events):
                self._metrics.committed(committed, time.monotonic() - began)
                yield seq, committed
                began = time.monotonic()
        except (FencedError, UnknownOutcomeError, RefusedError) as error:
            self._metrics.not_committed(error)
            raise


def _dismissed(event: Event) -> int:
    """Return how many sessions a dismissal has ended: its answer says so."""
    remembered = event.message.remembered
    return remembered.answer.sessions if remembered is not None and isinstance(remembered.answer, DismissReply) else 0

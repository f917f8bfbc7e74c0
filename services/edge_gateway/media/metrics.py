"""Shows what the media workers have measured."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import get_args

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from services.edge_gateway.media.interface import KINDS, Connection, MediaPlane
from services.edge_gateway.media.measures import FORWARDING_SECONDS, LINE_SECONDS, Dropped, Histogram, Measures

_RECEIVED_SENT = ("direction", "kind")


def look_at_media(media: MediaPlane | None) -> Iterable[Metric]:
    """Put the metrics together; before there is media, without a sample."""
    measures = None if media is None else media.measures()
    return [*_traffic(measures), *_times(measures), *_bounds(measures)]


def _traffic(measures: Measures | None) -> Iterable[Metric]:
    for name, field, about in (
        ("packets", "packets", "RTP packets that came from publishers (received), and left for subscribers (sent); repairs not counted."),
        ("payload_bytes", "octets", "Payloads of these packets."),
        (
            "packets_lost",
            "lost",
            "RTP packets missing here, and at subscribers by their reports; not what was repaired in time.",
        ),
        ("nacked_packets", "nacks", "RTP packets that were asked for again: by us of publishers (received), and by subscribers (sent)."),
        ("key_frame_requests", "key_frame_requests", "PLI and FIR: to publishers (received), and from subscribers (sent)."),
        ("repairs", "repairs", "RTP packets that came again and were missing, and that were sent again."),
    ):
        family = CounterMetricFamily(f"stagedoor_media_{name}", about, labels=_RECEIVED_SENT)
        if measures is not None:
            for direction, flows in (("received", measures.received), ("sent", measures.sent)):
                for kind in KINDS:
                    family.add_metric([direction, kind], getattr(flows[kind], field))
        yield family


def _times(measures: Measures | None) -> Iterable[Metric]:
    for name, field, bounds, about in (
        (
            "forwarding_duration",
            "forwarding",
            FORWARDING_SECONDS,
            "Of each RTP packet that went to somebody, from when it was read from the socket until it was sent to all.",
        ),
        ("round_trip", "round_trip", LINE_SECONDS, "To a subscriber and back, by each of its reports."),
        ("jitter", "jitter", LINE_SECONDS, "Interarrival jitter of each published stream, looked at every 5 s."),
    ):
        family = HistogramMetricFamily(f"stagedoor_media_{name}_seconds", about, labels=())
        if measures is not None:
            histogram: Histogram = getattr(measures, field)
            family.add_metric([], buckets=_buckets(bounds, histogram), sum_value=histogram.total)
        yield family


def _buckets(bounds: Sequence[float], histogram: Histogram) -> list[tuple[str, float]]:
    return list(zip([*map(str, bounds), "+Inf"], accumulate(histogram.counts), strict=True))


def _bounds(measures: Measures | None) -> Iterable[Metric]:
    dropped = CounterMetricFamily(
        "stagedoor_media_dropped",
        "Datagrams lost here: too long, beyond what a peer connection may send (too_fast), or not taken by the kernel (not_sent).",
        labels=["reason"],
    )
    connections = GaugeMetricFamily("stagedoor_media_connections", "Peer connections.", labels=["connection"])
    subscriptions = GaugeMetricFamily("stagedoor_media_subscriptions", "Tracks that are sent to somebody, each as often as it is.")
    workers = GaugeMetricFamily("stagedoor_media_workers", "Media workers that are there.", labels=["engine"])
    seconds = CounterMetricFamily("stagedoor_media_worker_cpu_seconds", "CPU time of the media workers.")
    if measures is not None:
        for reason in get_args(Dropped):
            dropped.add_metric([reason], measures.dropped.get(reason, 0))
        for connection in get_args(Connection):
            connections.add_metric([connection], measures.connections.get(connection, 0))
        subscriptions.add_metric([], measures.subscriptions)
        for engine, count in measures.workers.items():
            workers.add_metric([engine], count)
        seconds.add_metric([], measures.cpu_seconds)
    return dropped, connections, subscriptions, workers, seconds

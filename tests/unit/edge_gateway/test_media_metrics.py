"""What media workers have measured, as Prometheus reads it."""

from services.edge_gateway.media.measures import FORWARDING_SECONDS, Measures
from services.edge_gateway.metrics import GatewayMetrics
from tests.support.silent_media import SilentMedia


def read(media, name, **labels):
    """Return a sample of a gateway that has this media."""
    metrics = GatewayMetrics()
    metrics.watch_media(media)
    return metrics.registry.get_sample_value(f"stagedoor_media_{name}", labels)


def test_what_was_measured_is_shown_by_direction_and_kind():
    """Sums of the workers, as they are at the moment of asking."""
    media = SilentMedia(print, print)
    measures = media.measured = Measures(dropped={"too_fast": 5}, connections={"publish": 2}, subscriptions=9, workers={"native": 2})
    measures.received["video"].packets, measures.sent["audio"].lost, measures.sent["video"].nacks = 70, 3, 4
    assert read(media, "packets_total", direction="received", kind="video") == 70
    assert read(media, "packets_lost_total", direction="sent", kind="audio") == 3
    assert read(media, "nacked_packets_total", direction="sent", kind="video") == 4
    assert read(media, "repairs_total", direction="sent", kind="video") == 0
    assert read(media, "dropped_total", reason="too_fast") == 5
    assert read(media, "dropped_total", reason="not_sent") == 0
    assert read(media, "connections", connection="publish") == 2
    assert read(media, "subscriptions") == 9
    assert read(media, "workers", engine="native") == 2


def test_a_histogram_has_what_is_less_in_every_bucket():
    """As Prometheus wants it."""
    media = SilentMedia(print, print)
    for seconds in (0.00004, 0.002, 7.0):
        media.measured.forwarding.observe(FORWARDING_SECONDS, seconds)
    counts = [read(media, "forwarding_duration_seconds_bucket", le=str(bound)) for bound in (0.00005, 0.001, 0.0025, 0.25, "+Inf")]
    assert counts == [1, 1, 2, 2, 3]
    assert read(media, "forwarding_duration_seconds_count") == 3
    assert read(media, "forwarding_duration_seconds_sum") == 7.00204


def test_before_there_is_media_nothing_is_shown():
    """A gateway that starts has none."""
    assert GatewayMetrics().registry.get_sample_value("stagedoor_media_subscriptions") is None

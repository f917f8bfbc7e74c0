"""What is measured adds up, whoever comes and goes, and one report says how far away somebody is."""

import pytest

from services.edge_gateway.media.delivery import Delivery
from services.edge_gateway.media.measures import LINE_SECONDS, Histogram, Measures, Meter, Traffic, sum_of
from services.edge_gateway.media.rtcp import ReportBlock

SECOND = 1 << 32


def block(*, last_report: int, since: float = 0.0, lost: int = 0) -> ReportBlock:
    """Make a subscriber's report."""
    return ReportBlock(1, 0, lost, 0, 0, last_report, int(since * 65536))


def test_a_meter_counts_each_packet_once():
    """However often it looks; of a stream that ended, all, and one that comes after it under the same SSRC begins anew."""
    everybody = Measures().sent
    meter = Meter(everybody)
    for packets in (3, 3, 10):
        meter.count(1, "video", Traffic(packets=packets, octets=100 * packets))
    meter.count(2, "audio", Traffic(packets=1))
    meter.end(1)
    meter.count(1, "video", Traffic(packets=5))
    assert meter.total == Traffic(packets=16, octets=1000)
    assert everybody == {"video": Traffic(packets=15, octets=1000), "audio": Traffic(packets=1)}


def test_what_was_lost_stays_counted():
    """A receiver's count falls when a packet comes late; a counter never does, and does not count it twice."""
    meter = Meter(Measures().received)
    for lost in (0, 5, 3, 6):
        meter.count(1, "video", Traffic(lost=lost))
    assert meter.total.lost == 6


def test_measures_add_up():
    """Of several workers; of one that is gone stays what it counted, and nothing of what it had."""
    one = Measures(dropped={"too_fast": 2}, connections={"publish": 3}, subscriptions=7, workers={"native": 1}, cpu_seconds=1.5)
    one.received["audio"].packets = 10
    one.round_trip.observe(LINE_SECONDS, 0.02)
    both = sum_of([one, one.ended()])
    assert both.received["audio"].packets == 20
    assert (both.round_trip.total, sum(both.round_trip.counts)) == (0.04, 2)
    assert (both.dropped, both.cpu_seconds) == ({"too_fast": 4}, 3.0)
    assert (both.connections, both.subscriptions, both.workers) == ({"publish": 3}, 7, {"native": 1})
    assert one.received["audio"].packets == 10


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (2.5, 10), (3.0, 11)])
def test_a_bound_belongs_to_its_bucket(seconds, bucket):
    """As in Prometheus: less or equal."""
    histogram = Histogram.over(LINE_SECONDS)
    histogram.observe(LINE_SECONDS, seconds)
    assert histogram.counts.index(1) == bucket


def test_the_round_trip_is_told_by_a_report_on_a_report():
    """Less what the subscriber let pass in between (RFC 3550, 6.4.1)."""
    delivery = Delivery()
    delivery.reported(7 * SECOND, 100.0)
    delivery.reported(8 * SECOND, 101.0)
    assert delivery.heard(block(last_report=7 << 16, since=0.5), 100.75) == pytest.approx(0.25, abs=1e-4)
    assert delivery.heard(block(last_report=8 << 16), 101.1) == pytest.approx(0.1)


def test_reports_that_cannot_be_true_tell_nothing():
    """On none, on one that was never sent or long ago, or that was kept longer than it was away."""
    delivery = Delivery()
    for second in range(1, 7):
        delivery.reported(second * SECOND, float(second))
    assert delivery.heard(block(last_report=0), 7.0) is None
    assert delivery.heard(block(last_report=1 << 16), 7.0) is None
    assert delivery.heard(block(last_report=6 << 16, since=2.0), 7.0) is None
    assert delivery.heard(block(last_report=6 << 16, lost=-3), 7.0) == 1.0
    assert delivery.lost == 0

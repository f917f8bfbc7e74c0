"""What arrived, and what is asked for again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.reception import WINDOW, Reception
from services.edge_gateway.media.streams import PlainCounts
from tests.support.steps import counted


def received(*sequences: int) -> Reception:
    """Give a reception of these packets, all at the same time."""
    reception = Reception(90000, PlainCounts())
    for sequence in sequences:
        reception.accept(sequence & 0xFFFF, 0, 0.0)
    return reception


@given(st.integers(0, 0xFFFF), st.lists(st.integers(0, WINDOW - 1), max_size=200))
def test_every_packet_is_accepted_at_most_once(first, offsets):
    """By whatever path it comes again: with AES-GCM a second use of a number would be a disaster."""
    reception = received(first)
    seen = {0}
    for offset in offsets:
        accepted = reception.accept((first + offset) & 0xFFFF, 0, 0.0)
        assert not (accepted and offset in seen)
        seen.add(offset)


@given(st.integers(0, 0xFFFF), st.permutations(range(1, 100)))
def test_whatever_the_order_every_packet_is_accepted_once(first, offsets):
    """Late is not lost."""
    reception = received(first)
    assert all(reception.accept((first + offset) & 0xFFFF, 0, 0.0) for offset in offsets)
    assert not any(reception.accept((first + offset) & 0xFFFF, 0, 0.0) for offset in offsets)


def test_a_gap_is_asked_for_at_once_and_again():
    """A few times, then somebody will ask for a key frame."""
    reception = received(65533, 65535, 1)
    assert reception.missing(0.0) == [65534, 0]
    assert reception.missing(0.05) == []
    assert reception.accept(0, 0, 0.05)
    times = [reception.missing(0.11 * turn) for turn in range(1, 8)]
    assert times == [[65534]] * 4 + [[]] * 3
    assert reception.awaits(65534)
    assert not reception.awaits(0)
    assert reception.accept(65534, 0, 2.0)
    assert not reception.awaits(65534)


def test_an_interruption_is_not_asked_for():
    """A hole of hundreds of packets is refilled by a key frame, so nothing from before the end of it is missed any more."""
    reception = received(0, 2, 1000)
    assert reception.missing(0.0) == []
    assert not reception.accept(1, 0, 0.0)
    assert not reception.accept(999, 0, 0.0)
    assert received(*range(0, 400, 2)).missing(0.0)[0] > 100, "many small holes are one interruption"


def test_what_is_lost_in_a_short_time_is_asked_for_together():
    """One request in 20 ms, not one for every packet."""
    reception = received(0, 2)
    assert reception.missing(0.0) == [1]
    assert reception.accept(4, 0, 0.01)
    assert reception.missing(0.01) == []
    assert reception.accept(6, 0, 0.019)
    assert reception.missing(0.02) == [3, 5]


@pytest.mark.parametrize("step", [100, 128, 300, 1023, 30000])
def test_numbers_that_jump_cost_little(step):
    """A publisher may number its packets as it likes; everybody's packets wait while one is counted."""
    reception = Reception(90000, PlainCounts())
    for index in range(500):
        with counted() as steps:
            reception.accept(index * step & 0xFFFF, 0, 0.0)
        assert len(reception._missing) <= 128
        assert steps.count < 5_000


def test_what_is_too_old_is_forgotten():
    """The window moves on."""
    reception = received(0, *range(2, 1 + WINDOW), 3 + WINDOW)
    assert not reception.awaits(1)
    assert not reception.accept(1, 0, 0.0)
    assert reception.accept(2 + WINDOW, 0, 0.0)
    assert received(0, *range(2, 2 + WINDOW)).accept(1, 0, 0.0)


def test_before_the_first_packet_there_is_nothing_to_report():
    """A publisher who is silent gets no reports."""
    assert Reception(90000, PlainCounts()).report(1, 0.0) is None


def test_reports_count_losses_since_the_last_one():
    """RFC 3550, appendix A.3, over the wrap of the numbers."""
    reception = received(65534, 65535, 2, 3)
    report = reception.report(7, 0.0)
    assert (report.ssrc, report.highest, report.lost, report.fraction_lost) == (7, 65536 + 3, 2, 2 * 256 // 6)
    assert (report.last_report, report.since_last_report) == (0, 0)
    reception.accept(4, 0, 0.0)
    reception.accept(0, 0, 0.0)
    again = reception.report(7, 0.0)
    assert (again.lost, again.fraction_lost) == (1, 0)
    assert reception.report(7, 0.0).fraction_lost == 0


def test_the_round_trip_can_be_measured():
    """The report names the sender's last one, and how long ago it came."""
    reception = received(0)
    reception.sender_report(0x1122334455667788, 10.0)
    report = reception.report(7, 10.5)
    assert (report.last_report, report.since_last_report) == (0x33445566, 32768)


def test_jitter_is_that_of_rfc_3550():
    """Each step counts a sixteenth; a steady stream has none, and a timestamp's wrap is no step."""
    steady = Reception(90000, PlainCounts())
    for index in range(10):
        steady.accept(index, (0xFFFFF000 + 4500 * index) & 0xFFFFFFFF, index * 0.05)
    assert steady.report(1, 0.0).jitter <= 1
    shaken = Reception(90000, PlainCounts())
    shaken.accept(0, 0, 0.0)
    shaken.accept(1, 4500, 0.05 + 0.016)
    assert shaken.report(1, 0.0).jitter == 90

"""Timestamps over a seam."""

from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.rtcp import SenderReport
from services.edge_gateway.media.splice import following_timestamp, same_moment

RATE = 90_000
SECOND = 1 << 32
words = st.integers(0, 0xFFFFFFFF)


@given(words, words, st.integers(0, 1 << 63), st.integers(-5000, 5000), st.integers(-RATE, RATE))
def test_one_moment_has_one_time_in_both_streams(own, other, ntp, apart, ahead):
    """Each stream counts from a number of its own; their reports, made at two moments, tell how these relate."""
    milliseconds = apart * SECOND // 1000
    clock = SenderReport(1, ntp + max(0, milliseconds), own)
    reference = SenderReport(2, ntp + max(0, -milliseconds), other)
    translated = same_moment((own + ahead) & 0xFFFFFFFF, clock, reference, RATE)
    assert abs((translated - other - ahead - apart * 90 + 0x80000000) % (1 << 32) - 0x80000000) <= 1


@given(words, st.one_of(st.none(), words))
def test_time_goes_on(last, aligned):
    """Whatever the sender's clocks say, a frame is later than the one before, by ten seconds at most."""
    following = following_timestamp(last, aligned, RATE)
    assert 0 < (following - last) & 0xFFFFFFFF < 10 * RATE


def test_a_time_that_fits_is_taken():
    """One that lies before the last frame becomes the next possible; one out of reach becomes a frame's distance."""
    assert following_timestamp(1000, 4000, RATE) == 4000
    assert following_timestamp(1000, 1000, RATE) == 1001
    assert following_timestamp(1000, 400, RATE) == 1001
    assert following_timestamp(1000, 1000 + 20 * RATE, RATE) == 7000
    assert following_timestamp(0xFFFFFFFF, None, RATE) == 5999

"""VP8's payload descriptor: read, and moved so that a subscriber sees no jump."""

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.vp8 import Shift, move, read, shift_to_follow

pictures = st.one_of(st.none(), st.integers(0, 0x7FFF))
octets = st.one_of(st.none(), st.integers(0, 255))


@st.composite
def payloads(draw):
    """Write a descriptor as aiortc does, with a frame behind it."""
    layer = draw(st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 1))))
    descriptor = VpxPayloadDescriptor(
        partition_start=draw(st.integers(0, 1)),
        partition_id=draw(st.integers(0, 7)),
        picture_id=draw(pictures),
        tl0picidx=draw(octets),
        tid=layer,
        keyidx=draw(st.one_of(st.none(), st.integers(0, 31))),
    )
    return descriptor, bytes(descriptor) + draw(st.binary(min_size=1, max_size=40))


def moved(payload: bytes, shift: Shift, at: int = 12) -> bytes:
    """Move a packet's numbers, as when it is sent."""
    packet = bytearray(at) + bytearray(payload)
    move(memoryview(packet), at, payload, shift)
    assert packet[:at] == bytes(at)
    return bytes(packet[at:])


@given(payloads())
def test_a_descriptor_is_read_as_aiortc_wrote_it(written):
    """Both widths, with and without each field; a key frame is told by its first packet."""
    descriptor, payload = written
    found = read(payload)
    assert found.picture == (descriptor.picture_id or 0)
    assert found.tl0 == (descriptor.tl0picidx or 0)
    begins = descriptor.partition_start == 1 and descriptor.partition_id == 0
    assert found.key_frame == (begins and not payload[len(bytes(descriptor))] & 1)


@given(payloads(), st.integers(0, 0x7FFF), st.integers(0, 255))
def test_a_move_changes_the_two_numbers_and_nothing_else(written, picture, tl0):
    """The packet keeps its length: what is sent twice is the same twice."""
    descriptor, payload = written
    result, rest = VpxPayloadDescriptor.parse(moved(payload, Shift(picture, tl0)))
    assert rest == payload[len(bytes(descriptor)) :]
    if descriptor.picture_id is not None:
        width = 0x7FFF if descriptor.picture_id > 0x7F else 0x7F
        assert result.picture_id & width == (descriptor.picture_id + picture) & width
    if descriptor.tl0picidx is not None:
        assert result.tl0picidx == (descriptor.tl0picidx + tl0) & 0xFF
    assert (result.partition_start, result.partition_id) == (descriptor.partition_start, descriptor.partition_id)
    assert (result.tid, result.keyidx) == (descriptor.tid, descriptor.keyidx)


@given(payloads(), payloads(), st.integers(0, 0x7FFF), st.integers(0, 255))
def test_what_follows_is_one_more(last, first, picture, tl0):
    """Whatever two streams count, at the seam the viewer sees the next number."""
    (before, old), (after, new) = last, first
    shift = Shift(picture, tl0)
    following = shift_to_follow(old, shift, new)
    ends, begins = read(moved(old, shift)), read(moved(new, following))
    both = before.picture_id is not None and after.picture_id is not None
    if both and ends.wide and begins.wide:
        assert begins.picture == (ends.picture + 1) & 0x7FFF
    if before.tl0picidx is not None and after.tl0picidx is not None:
        assert begins.tl0 == (ends.tl0 + 1) & 0xFF


def test_the_numbers_wrap():
    """A PictureID has 15 bits, a TL0PICIDX 8."""
    last, new = bytes.fromhex("90c0ffffff00"), bytes.fromhex("90c080051000")
    assert read(moved(new, shift_to_follow(last, Shift(), new)))[1::3] == (0, 0)


@pytest.mark.parametrize("payload", ["", "80", "8080", "808080", "80c001", "80f0", "90f00102"])
def test_a_descriptor_that_is_cut_off_is_none(payload):
    """And is sent as it came."""
    data = bytes.fromhex(payload)
    assert read(data) is None
    assert moved(data, Shift(1, 1)) == data
    assert shift_to_follow(data, Shift(3, 4), bytes.fromhex("10009d")) == Shift(3, 4)


@given(st.binary(max_size=12))
def test_any_bytes_are_harmless(data):
    """They come from a browser."""
    read(data)
    moved(data, Shift(5, 5))

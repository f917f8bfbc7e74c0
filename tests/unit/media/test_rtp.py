"""RTP packets: taken apart, and written anew."""

import pytest
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from aiortc.rtp import unwrap_rtx as oracle_unwrap
from aiortc.rtp import wrap_rtx as oracle_wrap
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.history import SIZE, History
from services.edge_gateway.media.rtp import MalformedRtpError, Packet, Retransmitter, Rewriter, parse, restore, rewrite_extensions, write
from services.edge_gateway.media.streams import PlainSendStream

SSRC = 0x11223344


def packet(**changes) -> Packet:
    """Make a packet as a publisher's was taken apart."""
    fields = {"marker": 0, "payload_type": 96, "sequence": 7, "timestamp": 1000, "ssrc": SSRC, "payload": b"payload"}
    return Packet(**{**fields, **changes})


def written(rewriter: Rewriter, source: Packet) -> bytes:
    """Write a packet for a subscriber."""
    out = memoryview(bytearray(2048))
    return bytes(out[: write(out, source, rewriter.stream)])


@given(
    marker=st.integers(0, 1),
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=100),
    csrc=st.lists(st.integers(0, 0xFFFFFFFF), max_size=15),
    padding=st.integers(0, 255),
)
def test_packets_written_by_aiortc_are_read(*, marker, payload_type, sequence, timestamp, payload, csrc, padding):
    """CSRCs and padding end here; everything else is as it was."""
    source = RtpPacket(payload_type, marker, sequence, timestamp, SSRC, payload)
    source.csrc, source.padding_size = csrc, padding
    read = parse(memoryview(source.serialize()), {})
    assert (read.marker >> 7, read.payload_type, read.sequence, read.timestamp, read.ssrc) == (
        marker,
        payload_type,
        sequence,
        timestamp,
        SSRC,
    )
    assert (read.payload, read.extensions) == (payload, b"")


@given(st.binary(max_size=120), st.dictionaries(st.integers(1, 14), st.integers(1, 14)))
def test_hostile_packets_are_read_or_malformed(data, ids):
    """Whoever has the keys may still send nonsense."""
    try:
        read = parse(memoryview(data), {int.from_bytes(data[8:12], "big"): ids})
    except MalformedRtpError:
        return
    assert len(read.payload) + len(read.extensions) <= len(data)
    assert len(read.extensions) % 4 == 0


@pytest.mark.parametrize(
    "data",
    [
        "",
        "8060000700000000112233",
        "40600007000003e811223344",  # version 1
        "81600007000003e811223344",  # a CSRC that is not there
        "90600007000003e811223344",  # an extension that is not there
        "90600007000003e811223344bede0002" + "00" * 4,  # half of an extension
        "a0600007000003e811223344",  # padding without its length
        "a0600007000003e811223344aa00",  # padding of no length
        "a0600007000003e8112233440003",  # more padding than payload
    ],
)
def test_lengths_that_contradict_each_other_are_malformed(data):
    """One example of each."""
    with pytest.raises(MalformedRtpError):
        parse(memoryview(bytes.fromhex(data)), {})


def test_extensions_get_our_numbers_and_others_go():
    """A publisher's MID under a number that means something else to the subscriber would misroute the packet."""
    mid, level, unknown = bytes([0x42]) + b"mid", bytes([0x30, 0x85]), bytes([0x70, 9])
    elements = mid + b"\0" + level + b"\0\0" + unknown + b"\0"
    assert rewrite_extensions(elements, {3: 1}) == bytes.fromhex("bede0001 10850000")
    assert rewrite_extensions(elements, {3: 1, 7: 2}) == bytes.fromhex("bede0001 10852009")
    assert rewrite_extensions(elements, {4: 9}) == bytes.fromhex("bede0001 92") + b"mid"
    assert rewrite_extensions(elements, {5: 1}) == b""


def test_reading_extensions_ends_where_they_are_cut_off_or_reserved():
    """Number 15 ends the list (RFC 8285, 4.2); an element that is too long cannot be read."""
    assert rewrite_extensions(bytes([0x10, 1, 0xF0, 1, 0x20, 2]), {1: 1, 2: 2}) == bytes.fromhex("bede0001 10010000")
    assert rewrite_extensions(bytes([0x10, 1, 0x23, 1]), {1: 1, 2: 2}) == bytes.fromhex("bede0001 10010000")


@pytest.mark.parametrize(("profile", "kept"), [("bede", "bede000110850000"), ("1000", "")])
def test_only_one_byte_extensions_are_known(profile, kept):
    """We never answer extmap-allow-mixed, so two-byte ones mean nothing."""
    data = bytes.fromhex("90e00007000003e811223344" + profile + "0001" + "30850000") + b"payload"
    read = parse(memoryview(data), {SSRC: {3: 1}})
    assert read.extensions == bytes.fromhex(kept)
    assert (read.payload, read.marker) == (b"payload", 0x80)
    assert parse(memoryview(data), {SSRC + 1: {3: 1}}).extensions == b""


@given(
    first=st.integers(0, 0xFFFF),
    start=st.integers(0, 0x7FFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    start_timestamp=st.integers(0, 0xFFFFFFFF),
    steps=st.lists(st.integers(-500, 500), max_size=20),
)
def test_distances_stay_what_they_are(first, start, timestamp, start_timestamp, steps):
    """Losses, order and timing of the publisher are the subscriber's; only the origin is another."""
    rewriter = Rewriter(PlainSendStream(None, 99, 96))
    rewriter.start(packet(sequence=first, timestamp=timestamp), start, start_timestamp)
    for step in [0, *steps]:
        source = packet(sequence=(first + step) & 0xFFFF, timestamp=(timestamp + 3000 * step) & 0xFFFFFFFF, marker=0x80)
        read = RtpPacket.parse(written(rewriter, source))
        assert read.sequence_number == (start + step) & 0xFFFF
        assert read.timestamp == (start_timestamp + 3000 * step) & 0xFFFFFFFF
        assert (read.ssrc, read.payload_type, read.marker, read.payload) == (99, 96, 1, b"payload")
        assert rewriter.original(read.sequence_number) == source.sequence
        assert rewriter.timestamp(source.timestamp) == read.timestamp


def test_extensions_go_only_to_who_negotiated_them():
    """To another subscriber their number means nothing, or something else."""
    source = packet(extensions=bytes.fromhex("bede000110850000"))
    rewriter = Rewriter(PlainSendStream(None, 99, 111))
    rewriter.start(source, 0, 0)
    assert written(rewriter, source)[0] == 0x80
    rewriter.stream.extensions = True
    with_level = written(rewriter, source)
    assert with_level[0] == 0x90
    assert with_level[12:] == source.extensions + b"payload"
    assert RtpPacket.parse(with_level, HeaderExtensionsMap()).payload == b"payload"


@given(st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=50))
def test_retransmissions_are_restored(sequence, payload):
    """What aiortc wraps for a second sending is the first sending again."""
    lost = RtpPacket(96, 1, sequence, 1000, SSRC, payload)
    again = oracle_wrap(lost, payload_type=97, sequence_number=5, ssrc=77)
    restored = restore(parse(memoryview(again.serialize()), {}), SSRC, 96)
    assert restored is not None
    assert (restored.sequence, restored.timestamp, restored.ssrc, restored.payload_type) == (sequence, 1000, SSRC, 96)
    assert (restored.payload, restored.marker) == (payload, 0x80)


def test_bandwidth_probes_are_nothing():
    """Browsers send retransmissions of nothing, and padding, to find out how much the line takes."""
    assert restore(packet(payload=b""), SSRC, 96) is None
    assert restore(packet(payload=b"\0"), SSRC, 96) is None


def test_our_retransmissions_are_unwrapped_by_aiortc():
    """The subscriber finds the packet that it missed."""
    rewriter, rtx = Rewriter(PlainSendStream(None, 99, 96)), Retransmitter(100, 97, 0xFFFF)
    source = packet(marker=0x80)
    rewriter.start(source, 3000, 5)
    out = memoryview(bytearray(2048))
    again = RtpPacket.parse(bytes(out[: rewriter.write_again(out, source, rtx)]))
    assert (again.ssrc, again.payload_type, again.sequence_number) == (100, 97, 0)
    lost = oracle_unwrap(again, payload_type=96, ssrc=99)
    assert lost.serialize() == written(rewriter, source)


def test_the_history_forgets_what_is_too_old():
    """A number is found until the ring comes round to its place."""
    history = History()
    assert history.find(3) is None
    for sequence in range(0xFFF0, 0xFFF0 + SIZE + 1):
        history.keep(packet(sequence=sequence & 0xFFFF))
    assert history.find(0xFFF0) is None
    assert history.find(0xFFF1).sequence == 0xFFF1
    assert history.find(0xFFF0 + SIZE & 0xFFFF).sequence == 0xFFF0 + SIZE & 0xFFFF

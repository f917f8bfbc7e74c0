"""RTCP, against aiortc as an independent opinion."""

import contextlib
import struct

import pytest
from aiortc import rtp as oracle
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media import rtcp
from tests.support.steps import counted

ssrcs = st.integers(0, 0xFFFFFFFF)


@given(st.binary(max_size=200))
def test_hostile_packets_are_read_or_malformed(data):
    """Whoever has the keys may still send nonsense."""
    with contextlib.suppress(rtcp.MalformedRtcpError):
        rtcp.parse(data)


@given(st.lists(st.tuples(st.integers(0, 31), st.sampled_from([200, 201, 205, 206]), st.binary(max_size=40)), max_size=4))
def test_hostile_bodies_are_read_or_malformed(packets):
    """Headers that are right lead further in."""
    data = b"".join(bytes([0x80 | count, kind, 0, len(body) // 4]) + body[: len(body) // 4 * 4] for count, kind, body in packets)
    with contextlib.suppress(rtcp.MalformedRtcpError):
        rtcp.parse(data)


@given(ssrcs, st.integers(0, 2**64 - 1), ssrcs)
def test_sender_reports_are_read(ssrc, ntp, timestamp):
    """With what stands around them in a compound packet."""
    report = oracle.RtcpSrPacket(ssrc, oracle.RtcpSenderInfo(ntp, timestamp, 5, 500), [oracle.RtcpReceiverInfo(1, 2, 3, 4, 5, 6, 7)])
    description = oracle.RtcpSdesPacket([oracle.RtcpSourceInfo(ssrc, [(1, b"cname")])])
    assert rtcp.parse(bytes(report) + bytes(description)) == [rtcp.SenderReport(ssrc, ntp, timestamp)]


@given(ssrcs, st.integers(0, 0xFFFF), st.sets(st.integers(0, 1023), min_size=1, max_size=60))
def test_nacks_are_read_and_written(ssrc, first, missing):
    """Both ways, over the wrap of the numbers too."""
    sequences = [(first + distance) & 0xFFFF for distance in sorted(missing)]
    data = rtcp.nack(5, ssrc, sequences)
    assert rtcp.parse(data) == [rtcp.Nack(ssrc, tuple(sequences))]
    (read,) = oracle.RtcpPacket.parse(data)
    assert [number & 0xFFFF for number in read.lost] == sequences
    assert len(data) <= 12 + 4 * 61


def test_key_frame_requests_are_read():
    """PLI names one stream, FIR may name several."""
    loss = oracle.RtcpPsfbPacket(oracle.RTCP_PSFB_PLI, 1, 7)
    intra = oracle.RtcpPsfbPacket(oracle.RTCP_PSFB_FIR, 1, 0, bytes.fromhex("0000000801000000 0000000901000000"))
    assert rtcp.parse(bytes(loss) + bytes(intra)) == [rtcp.KeyFrameRequest(ssrc) for ssrc in (7, 8, 9)]


def test_what_we_have_no_use_for_is_skipped():
    """REMB, receiver reports, goodbyes and unknown types."""
    data = rtcp.receiver_report(1, []) + bytes(oracle.RtcpByePacket([1])) + bytes.fromhex("80cf0000")
    assert rtcp.parse(data) == []


@given(st.lists(st.tuples(ssrcs, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), ssrcs), max_size=31))
def test_receiver_reports_are_read_as_they_were_written(told):
    """What a subscriber says of its streams, a negative loss too."""
    blocks = [rtcp.ReportBlock(ssrc, fraction, lost, highest, 4, 5, 6) for ssrc, fraction, lost, highest in told]
    assert rtcp.parse(rtcp.receiver_report(9, blocks)) == blocks


@given(st.integers(1, 10**9), st.lists(ssrcs, min_size=1, max_size=3))
def test_an_estimate_is_read_as_it_was_written(bitrate, streams):
    """But for the last bits; other application layer feedback is none."""
    data = rtcp.bitrate_limit(1, bitrate, streams)
    (read,) = rtcp.parse(data)
    assert read.ssrc == streams[0]
    assert bitrate - bitrate // 2**17 - 1 <= read.bits_per_second <= bitrate
    assert rtcp.parse(data.replace(b"REMB", b"ELSE")) == []


def test_a_nack_asks_for_so_much_and_no_more():
    """2 kB of them could name 8,500 packets; however they are split, a few hundred are read."""
    entries = b"".join(struct.pack("!HH", 17 * index, 0xFFFF) for index in range(500))
    large = struct.pack("!BBHII", 0x81, 205, 502, 1, 7) + entries
    assert rtcp.parse(large) == [rtcp.Nack(7, tuple(range(256)))]
    assert rtcp.parse(large, nacked=20) == [rtcp.Nack(7, tuple(range(20)))]
    small = [struct.pack("!BBHII", 0x81, 205, 3, 1, 7) + entries[at : at + 4] for at in range(0, 2000, 4)]
    read = rtcp.parse(b"".join(small))
    assert len(read) == 64
    assert [number for nack in read for number in nack.sequences] == list(range(256))


def test_a_compound_packet_has_so_many_items_and_no_more():
    """A sender report goes to every subscriber, a request for a key frame to the publisher."""
    report = rtcp.sender_report(rtcp.SenderReport(1, 2, 3), 4, 5)
    assert rtcp.parse(report * 73) == [rtcp.SenderReport(1, 2, 3)] * 64
    intra = oracle.RtcpPsfbPacket(oracle.RTCP_PSFB_FIR, 1, 0, bytes(8) * 250)
    assert rtcp.parse(bytes(intra)) == [rtcp.KeyFrameRequest(0)] * 64


def test_many_scattered_losses_are_written_in_one_pass():
    """Not in one for each of them; 17 in a row are one entry."""
    assert len(rtcp.nack(5, 7, range(35))) == 12 + 4 * 3
    costs = []
    for count in (200, 2000):
        missing = range(0, 17 * count, 17)
        with counted() as steps:
            assert len(rtcp.nack(5, 7, missing)) == 12 + 4 * count
        costs.append(steps.count / count)
    assert costs[1] < 2 * costs[0]


@pytest.mark.parametrize(
    "data", ["80", "80c80001", "00c80000", "80c80000", "81cd000100000001", "81ce000100000001", "84ce000300000001000000000000000a"]
)
def test_lengths_that_contradict_each_other_are_malformed(data):
    """One example of each."""
    with pytest.raises(rtcp.MalformedRtcpError):
        rtcp.parse(bytes.fromhex(data))


def test_picture_loss_is_read_by_aiortc():
    """A request names its sender and the stream."""
    assert oracle.RtcpPacket.parse(rtcp.picture_loss(1, 2)) == [oracle.RtcpPsfbPacket(oracle.RTCP_PSFB_PLI, 1, 2)]


@given(ssrcs, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), ssrcs)
def test_receiver_reports_are_read_by_aiortc(ssrc, fraction, lost, highest):
    """All fields, a negative loss too."""
    blocks = [rtcp.ReportBlock(ssrc, fraction, lost, highest, 4, 5, 6), rtcp.ReportBlock(1, 2, 3, 4, 5, 6, 7)]
    (read,) = oracle.RtcpPacket.parse(rtcp.receiver_report(9, blocks))
    assert read.ssrc == 9
    assert read.reports == [oracle.RtcpReceiverInfo(ssrc, fraction, lost, highest, 4, 5, 6), oracle.RtcpReceiverInfo(1, 2, 3, 4, 5, 6, 7)]


@given(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=64))
def test_sender_reports_are_read_by_aiortc(cname):
    """With the CNAME that follows, of any length."""
    data = rtcp.sender_report(rtcp.SenderReport(1, 2**63, 3), 2**32 + 4, 5) + rtcp.source_description(1, cname)
    report, description = oracle.RtcpPacket.parse(data)
    assert report == oracle.RtcpSrPacket(1, oracle.RtcpSenderInfo(2**63, 3, 4, 5))
    assert description.chunks == [oracle.RtcpSourceInfo(1, [(1, cname.encode())])]


@given(st.integers(1, 10**9), st.lists(ssrcs, min_size=1, max_size=3))
def test_limits_are_read_by_aiortc(bitrate, streams):
    """The exponent costs the last bits, never more than one part in 2^17."""
    (read,) = oracle.RtcpPacket.parse(rtcp.bitrate_limit(1, bitrate, streams))
    told, named = oracle.unpack_remb_fci(read.fci)
    assert named == streams
    assert bitrate - bitrate // 2**17 - 1 <= told <= bitrate

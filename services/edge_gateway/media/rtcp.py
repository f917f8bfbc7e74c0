"""RTCP: the few packets that a forwarder reads and writes (RFC 3550, 6.4; RFC 4585, 6; RFC 5104, 4.3.1; draft-alvestrand-rmcat-remb)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_SENDER_REPORT = 200
_RECEIVER_REPORT = 201
_SOURCE_DESCRIPTION = 202
_TRANSPORT_FEEDBACK = 205
_PAYLOAD_FEEDBACK = 206
_NACK = 1
_PLI = 1
_FIR = 4
_REMB = 15
_CNAME = 1
_HEADER = struct.Struct("!BBH")
_MANTISSA = 0x3FFFF
_MAX_ITEMS = 64
"""Of one compound packet: more than one client has tracks. What follows them is ignored."""
MAX_NACKED = 256
"""Sequence numbers of one compound packet; what is missed beyond them is asked for again."""


class MalformedRtcpError(ValueError):
    """Not an RTCP packet."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """A sender's clocks at one moment."""

    ssrc: int
    ntp: int
    """64 bits: seconds since 1900 and their fraction."""
    timestamp: int
    """The same moment in RTP timestamp units."""


@dataclass(frozen=True, slots=True)
class Nack:
    """A receiver misses packets of a stream."""

    ssrc: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyFrameRequest:
    """A receiver cannot go on without a key frame: PLI or FIR."""

    ssrc: int


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells about one stream (RFC 3550, 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Since the last report, in 256ths."""
    lost: int
    """In all, -2^23 to 2^23-1."""
    highest: int
    """The extended highest sequence number."""
    jitter: int
    """In RTP timestamp units."""
    last_report: int
    """The middle 32 bits of the NTP time in the last sender report; 0 for none."""
    since_last_report: int
    """Since that came, in seconds / 65536."""


@dataclass(frozen=True, slots=True)
class BitrateEstimate:
    """What a receiver says that its line can take: REMB."""

    ssrc: int
    """Of one of the streams that it is about."""
    bits_per_second: int


Feedback = SenderReport | Nack | KeyFrameRequest | ReportBlock | BitrateEstimate


def parse(data: bytes, nacked: int = MAX_NACKED) -> list[Feedback]:
    """Read a compound packet; what we have no use for is skipped.

    Args:
        data: the packet.
        nacked: so many sequence numbers are taken from its NACKs, in all.

    Raises:
        MalformedRtcpError: its lengths contradict each other.
    """
    items: list[Feedback] = []
    at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise MalformedRtcpError("shorter than an RTCP header")
        first, kind, words = _HEADER.unpack_from(data, at)
        following = at + 4 + 4 * words
        if first >> 6 != 2 or following > len(data):
            raise MalformedRtcpError("not RTCP version 2, or cut off")
        body = data[at + 4 : following]
        if kind == _SENDER_REPORT:
            items.append(_parse_sender_report(body))
        elif kind == _RECEIVER_REPORT:
            items += _parse_report_blocks(body, first & 0x1F)
        elif kind == _TRANSPORT_FEEDBACK and first & 0x1F == _NACK:
            missed = _parse_nack(body, nacked)
            nacked -= len(missed.sequences)
            items.append(missed)
        elif kind == _PAYLOAD_FEEDBACK and first & 0x1F in {_PLI, _FIR}:
            items += _parse_key_frame_requests(body, first & 0x1F)
        elif kind == _PAYLOAD_FEEDBACK and first & 0x1F == _REMB:
            items += _parse_estimate(body)
        at = following
    return items[:_MAX_ITEMS]


def _parse_sender_report(body: bytes) -> SenderReport:
    if len(body) < 24:
        raise MalformedRtcpError("a sender report is cut off")
    ssrc, ntp, timestamp = struct.unpack_from("!IQI", body)
    return SenderReport(ssrc, ntp, timestamp)


def _parse_report_blocks(body: bytes, count: int) -> list[ReportBlock]:
    if len(body) < 4 + 24 * count:
        raise MalformedRtcpError("a receiver report is cut off")
    blocks: list[ReportBlock] = []
    for at in range(4, 4 + 24 * count, 24):
        ssrc, losses, highest, jitter, last, since = struct.unpack_from("!IIIIII", body, at)
        lost = losses & 0xFFFFFF
        blocks.append(ReportBlock(ssrc, losses >> 24, lost - 0x1000000 if lost & 0x800000 else lost, highest, jitter, last, since))
    return blocks


def _parse_estimate(body: bytes) -> list[BitrateEstimate]:
    # Other uses of application layer feedback have other names.
    if len(body) < 20 or body[8:12] != b"REMB":
        return []
    packed, ssrc = struct.unpack_from("!II", body, 12)
    return [BitrateEstimate(ssrc, (packed & _MANTISSA) << (packed >> 18 & 0x3F))]


def _parse_nack(body: bytes, limit: int) -> Nack:
    if len(body) < 8:
        raise MalformedRtcpError("a NACK is cut off")
    sequences: list[int] = []
    for first, following in struct.iter_unpack("!HH", body[8:]):
        if len(sequences) >= limit:
            break
        sequences.append(first)
        sequences += [(first + 1 + bit) & 0xFFFF for bit in range(16) if following >> bit & 1]
    return Nack(int.from_bytes(body[4:8], "big"), tuple(sequences[:limit]))


def _parse_key_frame_requests(body: bytes, form: int) -> list[KeyFrameRequest]:
    if len(body) < 8 or (form == _FIR and len(body) % 8):
        raise MalformedRtcpError("a key frame request is cut off")
    if form == _PLI:
        return [KeyFrameRequest(int.from_bytes(body[4:8], "big"))]
    return [KeyFrameRequest(int.from_bytes(body[at : at + 4], "big")) for at in range(8, len(body), 8)]


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def nack(sender: int, ssrc: int, sequences: Sequence[int]) -> bytes:
    """Ask for missing packets of a stream, oldest first; each entry names one and up to 16 that follow it (RFC 4585, 6.2.1)."""
    entries: list[tuple[int, int]] = []
    for number in sequences:
        if entries and (distance := (number - entries[-1][0] - 1) & 0xFFFF) < 16:
            first, following = entries[-1]
            entries[-1] = (first, following | 1 << distance)
        else:
            entries.append((number, 0))
    body = struct.pack("!II", sender, ssrc) + b"".join(struct.pack("!HH", *entry) for entry in entries)
    return _packet(_TRANSPORT_FEEDBACK, _NACK, body)


def picture_loss(sender: int, ssrc: int) -> bytes:
    """Ask for a key frame of a stream (RFC 4585, 6.3.1)."""
    return _packet(_PAYLOAD_FEEDBACK, _PLI, struct.pack("!II", sender, ssrc))


def receiver_report(sender: int, blocks: Sequence[ReportBlock]) -> bytes:
    """Tell a sender what arrived of its streams, 31 at most (RFC 3550, 6.4.2)."""
    body = struct.pack("!I", sender)
    for block in blocks:
        lost = (block.lost & 0xFFFFFF).to_bytes(3, "big")
        tail = struct.pack("!IIII", block.highest, block.jitter, block.last_report, block.since_last_report)
        body += struct.pack("!IB", block.ssrc, block.fraction_lost) + lost + tail
    return _packet(_RECEIVER_REPORT, len(blocks), body)


def sender_report(report: SenderReport, packets: int, octets: int) -> bytes:
    """Tell a receiver a stream's clocks, and what was sent of it (RFC 3550, 6.4.1)."""
    body = struct.pack("!IQIII", report.ssrc, report.ntp, report.timestamp, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF)
    return _packet(_SENDER_REPORT, 0, body)


def source_description(ssrc: int, cname: str) -> bytes:
    """Say which streams belong to one sender and are played in step: those of one CNAME (RFC 3550, 6.5.1)."""
    name = cname.encode()
    body = struct.pack("!IBB", ssrc, _CNAME, len(name)) + name
    # The list of items ends with at least one zero.
    body += bytes(4 - len(body) % 4)
    return _packet(_SOURCE_DESCRIPTION, 1, body)


def bitrate_limit(sender: int, bits_per_second: int, ssrcs: Sequence[int]) -> bytes:
    """Tell a sender what its streams may take together: REMB (draft-alvestrand-rmcat-remb-03, 2.2)."""
    exponent = max(0, bits_per_second.bit_length() - _MANTISSA.bit_length())
    packed = len(ssrcs) << 24 | exponent << 18 | bits_per_second >> exponent
    body = struct.pack("!II4sI", sender, 0, b"REMB", packed) + b"".join(ssrc.to_bytes(4, "big") for ssrc in ssrcs)
    return _packet(_PAYLOAD_FEEDBACK, _REMB, body)

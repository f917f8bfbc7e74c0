"""RTP packets: taken apart once when they come in, written anew for every subscriber (RFC 3550, RFC 8285, RFC 4588)."""

import struct
from collections.abc import Mapping

from services.edge_gateway.media.forwarding import SendStream

HEADER_SIZE = 12
_HEADER = struct.Struct("!BBHII")
_BLOCK = struct.Struct("!HH")
_ONE_BYTE_PROFILE = 0xBEDE
_NO_EXTENSION = 0x80
_EXTENSION = 0x90
_MARKER = 0x80


class MalformedRtpError(ValueError):
    """Not an RTP packet."""


class Packet:
    """A publisher's packet without what is only between it and us: CSRCs, padding, and extensions that nobody negotiated."""

    __slots__ = ("extensions", "marker", "payload", "payload_type", "sequence", "ssrc", "timestamp")

    def __init__(
        self, *, marker: int, payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, extensions: bytes = b""
    ) -> None:
        self.marker = marker
        """The marker as it stands in the header's second byte: 0x80 or 0."""
        self.payload_type = payload_type
        self.sequence = sequence
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.payload = payload
        self.extensions = extensions
        """A whole extension block with our own numbering, a multiple of 4 bytes; or nothing."""


def parse(data: memoryview, extension_ids: Mapping[int, Mapping[int, int]]) -> Packet:
    """Take an RTP packet apart (RFC 3550, 5.1).

    Args:
        data: the packet, decrypted.
        extension_ids: for an SSRC, the header extensions to keep: the publisher's number to ours.

    Raises:
        MalformedRtpError: its lengths contradict each other.
    """
    size = len(data)
    if size < HEADER_SIZE:
        raise MalformedRtpError("shorter than an RTP header")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise MalformedRtpError("not RTP version 2")
    start = HEADER_SIZE + 4 * (first & 0x0F)
    extensions = b""
    if first & 0x10:
        if start + 4 > size:
            raise MalformedRtpError("the extension is cut off")
        profile, words = _BLOCK.unpack_from(data, start)
        end = start + 4 + 4 * words
        if end > size:
            raise MalformedRtpError("the extension is cut off")
        # Two-byte extensions come only after extmap-allow-mixed, which we never answer.
        keep = extension_ids.get(ssrc)
        if keep and profile == _ONE_BYTE_PROFILE:
            extensions = rewrite_extensions(data[start + 4 : end], keep)
        start = end
    end = size
    if first & 0x20:
        end -= data[-1]
        if data[-1] == 0:
            raise MalformedRtpError("padding of no length")
    if end < start:
        raise MalformedRtpError("the payload is cut off")
    return Packet(
        marker=second & _MARKER,
        payload_type=second & 0x7F,
        sequence=sequence,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=bytes(data[start:end]),
        extensions=extensions,
    )


def rewrite_extensions(elements: memoryview | bytes, ids: Mapping[int, int]) -> bytes:
    """Keep some one-byte header extensions, under other numbers (RFC 8285, 4.2).

    The numbers belong to one peer connection: passed on as they are, a publisher's MID would name some m-line of the
    subscriber.

    Args:
        elements: the elements behind the block's 4-byte header.
        ids: what to keep: the number in ``elements`` to the new one.

    Returns:
        A whole block with header and padding, or nothing when nothing was kept.
    """
    kept = bytearray()
    at = 0
    while at < len(elements):
        byte = elements[at]
        if byte == 0:
            at += 1
            continue
        number, following = byte >> 4, at + 2 + (byte & 0x0F)
        # Number 15 ends the list; so does an element that is longer than what is left.
        if number == 15 or following > len(elements):
            break
        if number in ids:
            kept.append(ids[number] << 4 | byte & 0x0F)
            kept += elements[at + 1 : following]
        at = following
    if not kept:
        return b""
    kept += bytes(-len(kept) % 4)
    return _BLOCK.pack(_ONE_BYTE_PROFILE, len(kept) // 4) + kept


def restore(packet: Packet, ssrc: int, payload_type: int) -> Packet | None:
    """Undo a retransmission: the packet as it was first sent (RFC 4588, 4).

    Returns:
        None for padding: browsers probe the bandwidth with retransmissions of nothing.
    """
    if len(packet.payload) < 2:
        return None
    return Packet(
        marker=packet.marker,
        payload_type=payload_type,
        sequence=int.from_bytes(packet.payload[:2], "big"),
        timestamp=packet.timestamp,
        ssrc=ssrc,
        payload=packet.payload[2:],
        extensions=packet.extensions,
    )


def write(out: memoryview, packet: Packet, stream: SendStream) -> int:
    """Write a packet as one of a subscriber's stream; ``out`` has room for a datagram.

    Returns:
        Its length in bytes.
    """
    if stream.extensions and packet.extensions:
        first, body = _EXTENSION, packet.extensions + packet.payload
    else:
        first, body = _NO_EXTENSION, packet.payload
    _HEADER.pack_into(
        out,
        0,
        first,
        packet.marker | stream.payload_type,
        (packet.sequence + stream.sequence_offset) & 0xFFFF,
        (packet.timestamp + stream.timestamp_offset) & 0xFFFFFFFF,
        stream.ssrc,
    )
    end = HEADER_SIZE + len(body)
    out[HEADER_SIZE:end] = body
    return end


class Rewriter:
    """Writes one publisher's packets as one subscriber's stream.

    The same packet is always written as the same bytes: with AES-GCM, another content under a number that was used
    would give the key away.

    Args:
        stream: the subscriber's.
    """

    __slots__ = ("stream",)

    def __init__(self, stream: SendStream) -> None:
        self.stream = stream

    def start(self, packet: Packet, sequence: int, timestamp: int) -> None:
        """Give the first packet its numbers; all others follow from it.

        Args:
            packet: the first.
            sequence: 0 to 2^15-1, so that the SRTP roll-over counter of both sides starts at 0 (RFC 3711, 3.3.1).
            timestamp: any.
        """
        self.stream.started = True
        self.stream.sequence_offset = (sequence - packet.sequence) & 0xFFFF
        self.stream.timestamp_offset = (timestamp - packet.timestamp) & 0xFFFFFFFF

    def skip(self, count: int) -> None:
        """Leave no gap for so many of the publisher's packets that are not written."""
        self.stream.sequence_offset = (self.stream.sequence_offset - count) & 0xFFFF

    def timestamp(self, theirs: int) -> int:
        """Translate the publisher's RTP timestamp."""
        return (theirs + self.stream.timestamp_offset) & 0xFFFFFFFF

    def original(self, sequence: int) -> int:
        """Translate one of our sequence numbers to the publisher's."""
        return (sequence - self.stream.sequence_offset) & 0xFFFF

    def write_again(self, out: memoryview, packet: Packet, rtx: "Retransmitter") -> int:
        """Write a packet that was lost, as a retransmission (RFC 4588, 4).

        Returns:
            Its length in bytes.
        """
        rtx.sequence = (rtx.sequence + 1) & 0xFFFF
        _HEADER.pack_into(out, 0, _NO_EXTENSION, packet.marker | rtx.payload_type, rtx.sequence, self.timestamp(packet.timestamp), rtx.ssrc)
        body = ((packet.sequence + self.stream.sequence_offset) & 0xFFFF).to_bytes(2, "big") + packet.payload
        end = HEADER_SIZE + len(body)
        out[HEADER_SIZE:end] = body
        return end


class Retransmitter:
    """The retransmission stream beside a subscriber's stream: an SSRC and numbers of its own."""

    __slots__ = ("payload_type", "sequence", "ssrc")

    def __init__(self, ssrc: int, payload_type: int, sequence: int) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.sequence = sequence
        """The number used last."""

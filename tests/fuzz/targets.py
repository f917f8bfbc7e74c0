"""What hostile bytes are given to: each function takes any bytes, and raises nothing but what a parser says it raises."""

import struct
from collections.abc import Callable

from aiortc.rtcsctptransport import parse_packet
from google_crc32c import value as crc32c

from services.edge_gateway.media import rtcp, rtp
from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.interface import MediaRefusedError
from services.edge_gateway.media.sctp import UnexpectedPacketError, check
from services.edge_gateway.media.sdp import read_answer, read_offer
from services.edge_gateway.media.stun import MalformedStunError, parse_request

_IDS = {number: {1: 1, 4: 14, 14: 4} for number in (0, 7, 0x41414141)}


def stun(data: bytes) -> None:
    """Read a connectivity check, and check it with a password that is not its."""
    try:
        request = parse_request(data)
    except MalformedStunError:
        return
    request.authentic(b"password")


def parse_rtp(data: bytes) -> None:
    """Take a packet apart, undo a retransmission, and write it anew: it never grows."""
    try:
        packet = rtp.parse(memoryview(data), _IDS)
    except rtp.MalformedRtpError:
        return
    if len(packet.extensions) + len(packet.payload) + rtp.HEADER_SIZE > len(data):
        raise AssertionError("a packet has grown")
    if len(packet.extensions) % 4:
        raise AssertionError("half a word of extensions")
    restored = rtp.restore(packet, 1, 2)
    if restored is not None and len(restored.payload) != len(packet.payload) - 2:
        raise AssertionError("a retransmission has lost its payload")


def parse_rtcp(data: bytes) -> None:
    """Read a compound packet: what is asked for in it is bounded."""
    try:
        items = rtcp.parse(data)
    except rtcp.MalformedRtcpError:
        return
    if sum(len(item.sequences) for item in items if isinstance(item, rtcp.Nack)) > rtcp.MAX_NACKED:
        raise AssertionError("more is asked for than may be")


def sdp(data: bytes) -> None:
    """Read an offer and an answer."""
    text = data.decode("utf-8", "replace")
    for read in (lambda: read_offer(text, list(CODECS.values())), lambda: read_answer(text, 64)):
        try:
            read()
        except MediaRefusedError:
            continue


def sctp(data: bytes) -> None:
    """Look at a packet, and have aiortc read it, if it passes: it ends, and raises nothing that is not expected of it."""
    try:
        check(data, 0, 64)
    except UnexpectedPacketError:
        return
    header = data[:8]
    parse_packet(header + struct.pack("<L", crc32c(header + bytes(4) + data[12:])) + data[12:])


TARGETS: dict[str, Callable[[bytes], None]] = {"stun": stun, "rtp": parse_rtp, "rtcp": parse_rtcp, "sdp": sdp, "sctp": sctp}

"""Which SCTP packets of a client are read at all (RFC 9260, 3). Pure.

aiortc speaks SCTP for us and was not made for hostile input: a parameter of length 0 keeps it busy for ever, a report of gaps
millions of steps. So it sees only what a browser needs for one data channel that it says a few words over.
"""

import struct
from typing import Final

_HEADER = 12
_CHUNK = struct.Struct("!BBH")
_DATA = struct.Struct("!LHHL")
_SACK = struct.Struct("!LLHH")
_PARAMETER = struct.Struct("!HH")
_GAP = struct.Struct("!HH")
_STRING = 51
"""The payload protocol of text (RFC 8831, 8)."""
_WHOLE = 0x03
"""Both the first and the last fragment, and in order."""
_MAX_PACKET = 1400
_MAX_CHUNKS = 8
_MAX_GAPS = 4
_MAX_GAP = 16
"""We have a few chunks on their way at most."""
_MAX_DUPLICATES = 16

_DATA_TYPE, _INIT, _INIT_ACK, _SACK_TYPE = 0, 1, 2, 3
_FIXED: Final = {_INIT: 16, _INIT_ACK: 16, 4: 0, 5: 0, 6: 0, 9: 0}
"""Chunks with parameters, and the bytes before those: INIT, INIT ACK, HEARTBEAT and its answer, ABORT, ERROR."""
_PLAIN: Final = {7: 4, 8: 0, 10: 0, 11: 0, 14: 0}
"""Chunks without, and their least size: SHUTDOWN, SHUTDOWN ACK, COOKIE ECHO, COOKIE ACK, SHUTDOWN COMPLETE."""


class UnexpectedPacketError(ValueError):
    """A packet that is not read; the text says why."""


def check(packet: bytes, stream: int, longest: int) -> int:
    """Look at a packet before it is read.

    Args:
        packet: as DTLS has it.
        stream: the only one that data may come over.
        longest: bytes of one message.

    Returns:
        How many messages it carries.

    Raises:
        UnexpectedPacketError: it is not to be read.
    """
    if not _HEADER + _CHUNK.size <= len(packet) <= _MAX_PACKET:
        raise UnexpectedPacketError("a packet is too short or too long")
    at, chunks, messages = _HEADER, 0, 0
    while at < len(packet):
        if at + _CHUNK.size > len(packet) or chunks == _MAX_CHUNKS:
            raise UnexpectedPacketError("more chunks than fit, or than are sensible")
        kind, flags, length = _CHUNK.unpack_from(packet, at)
        if length < _CHUNK.size or at + length > len(packet):
            raise UnexpectedPacketError("a chunk is longer than the packet")
        _check_chunk(kind, flags, packet[at + _CHUNK.size : at + length], stream, longest)
        messages += kind == _DATA_TYPE
        chunks += 1
        at += length + -length % 4
        if kind in {_INIT, _INIT_ACK} and (chunks > 1 or at < len(packet)):
            raise UnexpectedPacketError("the beginning of an association stands alone")
    return messages


def _check_chunk(kind: int, flags: int, body: bytes, stream: int, longest: int) -> None:
    if kind == _DATA_TYPE:
        _check_data(flags, body, stream, longest)
    elif kind == _SACK_TYPE:
        _check_sack(body)
    elif kind in _FIXED:
        _check_parameters(body, _FIXED[kind])
    elif len(body) < _PLAIN.get(kind, len(body) + 1):
        # Resetting streams (RFC 6525) and giving data up (RFC 3758) are for who has more than one stream.
        raise UnexpectedPacketError(f"a chunk of type {kind}, or too short for that")


def _check_data(flags: int, body: bytes, stream: int, longest: int) -> None:
    if not _DATA.size < len(body) <= _DATA.size + longest or flags & 0x07 != _WHOLE:
        raise UnexpectedPacketError("a message is empty, too long, or in pieces")
    _, number, _, protocol = _DATA.unpack_from(body)
    if number != stream or protocol != _STRING:
        raise UnexpectedPacketError("a message is no text, or over another stream")


def _check_sack(body: bytes) -> None:
    if len(body) < _SACK.size:
        raise UnexpectedPacketError("a SACK is too short")
    _, _, gaps, duplicates = _SACK.unpack_from(body)
    if gaps > _MAX_GAPS or duplicates > _MAX_DUPLICATES or len(body) < _SACK.size + 4 * (gaps + duplicates):
        raise UnexpectedPacketError("a SACK says more than there can be")
    if any(end > _MAX_GAP for _, end in _GAP.iter_unpack(body[_SACK.size : _SACK.size + 4 * gaps])):
        raise UnexpectedPacketError("a SACK of what was never sent")


def _check_parameters(body: bytes, at: int) -> None:
    if len(body) < at:
        raise UnexpectedPacketError("a chunk is too short")
    while at <= len(body) - _PARAMETER.size:
        _, length = _PARAMETER.unpack_from(body, at)
        if length < _PARAMETER.size or at + length > len(body):
            raise UnexpectedPacketError("a parameter is longer than its chunk, or shorter than itself")
        at += length + -length % 4

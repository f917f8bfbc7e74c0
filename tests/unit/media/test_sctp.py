"""Which packets of SCTP are read: what a browser sends for one small channel, and nothing that costs more than it says."""

import struct

import pytest
from aiortc.rtcsctptransport import (
    AbortChunk,
    CookieEchoChunk,
    DataChunk,
    ForwardTsnChunk,
    HeartbeatChunk,
    InitAckChunk,
    InitChunk,
    ReconfigChunk,
    SackChunk,
    ShutdownChunk,
    serialize_packet,
)
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.sctp import UnexpectedPacketError, check


def data(text=b"word", **fields):
    """Make a message in one piece."""
    chunk = DataChunk(flags=fields.pop("flags", 3))
    chunk.protocol, chunk.user_data = 51, text
    vars(chunk).update(fields)
    return chunk


def sack(gaps=(), duplicates=()):
    """Make an acknowledgement."""
    chunk = SackChunk()
    chunk.cumulative_tsn, chunk.advertised_rwnd, chunk.gaps, chunk.duplicates = 1, 1000, list(gaps), list(duplicates)
    return chunk


def with_parameters(kind, *parameters):
    """Make a chunk of a kind that has some."""
    chunk = kind()
    chunk.params = list(parameters)
    return chunk


def packet(*chunks):
    """Put chunks together."""
    first, *others = chunks
    return serialize_packet(5000, 5000, 7, first) + b"".join(map(bytes, others))


@pytest.mark.parametrize(
    "chunks",
    [
        [with_parameters(InitChunk, (0xC000, b""), (0x8008, b"\xc0\x82"))],
        [with_parameters(InitAckChunk, (7, bytes(200)))],
        [CookieEchoChunk(body=bytes(200)), data()],
        [sack([(2, 3)], [4]), data(), data()],
        [with_parameters(HeartbeatChunk, (1, bytes(41)))],
        [with_parameters(AbortChunk)],
        [ShutdownChunk(body=bytes(4))],
    ],
)
def test_what_a_browser_says_is_read(chunks):
    """Its messages are counted."""
    assert check(packet(*chunks), 0, 64) == sum(isinstance(chunk, DataChunk) for chunk in chunks)


@pytest.mark.parametrize(
    "chunks",
    [
        [data(b"x" * 65)],
        [data(flags=2)],
        [data(flags=1)],
        [data(flags=7)],
        [data(stream_id=1)],
        [data(protocol=50)],
        [data(b"")],
        [sack([(1, 17)])],
        [sack([(1, 2)] * 5)],
        [sack(duplicates=range(17))],
        [with_parameters(ReconfigChunk)],
        [ForwardTsnChunk(body=bytes(8))],
        [with_parameters(InitChunk), data()],
        [data(), with_parameters(InitChunk)],
        [ShutdownChunk(body=bytes(4))] * 9,
    ],
)
def test_other_things_are_not(chunks):
    """More than one small channel, more than there can be, or more than once."""
    with pytest.raises(UnexpectedPacketError):
        check(packet(*chunks), 0, 64)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (4, struct.pack("!HH", 1, 0)),
        (6, struct.pack("!HH", 1, 3)),
        (9, struct.pack("!HH", 1, 9)),
        (1, bytes(15)),
        (1, bytes(16) + struct.pack("!HH", 7, 0)),
        (3, struct.pack("!LLHH", 1, 1, 1, 0)),
        (7, bytes(3)),
        (99, b""),
        (0, bytes(12)),
    ],
)
def test_a_chunk_that_is_not_what_it_says_is_not_read(kind, body):
    """A parameter without length would be read for ever."""
    with pytest.raises(UnexpectedPacketError):
        check(bytes(12) + struct.pack("!BBH", kind, 3, len(body) + 4) + body, 0, 64)


@pytest.mark.parametrize("length", [0, 3, 9])
def test_a_chunk_longer_or_shorter_than_it_is_is_not_read(length):
    """Nor one whose head is cut off."""
    with pytest.raises(UnexpectedPacketError):
        check(bytes(12) + struct.pack("!BBH", 11, 0, length), 0, 64)
    with pytest.raises(UnexpectedPacketError):
        check(bytes(12) + struct.pack("!BBH", 11, 0, 4) + b"\x0b", 0, 64)


@given(st.binary(max_size=1500))
def test_any_bytes_are_judged(some):
    """With a number of messages, or as unexpected."""
    try:
        assert 0 <= check(some, 0, 64) <= 8
    except UnexpectedPacketError:
        return

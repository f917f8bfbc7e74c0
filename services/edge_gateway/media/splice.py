"""One outgoing stream made of pieces of several incoming ones: which number follows which. Pure."""

from services.edge_gateway.media.rtcp import SenderReport

_LONGEST = 10
"""Seconds: a jump further than that is a mistake of somebody's clock."""
_FRAMES_A_SECOND = 15
"""Assumed where the clocks of two streams cannot be compared."""


def same_moment(timestamp: int, clock: SenderReport, other: SenderReport, rate: int) -> int:
    """Translate a stream's RTP timestamp to that of another stream of the same sender (RFC 3550, 6.4.1).

    Args:
        timestamp: of the stream.
        clock: its last report.
        other: the other's last report.
        rate: units a second of both.
    """
    apart = (clock.ntp - other.ntp) * rate >> 32
    return (timestamp - clock.timestamp + other.timestamp + apart) & 0xFFFFFFFF


def following_timestamp(last: int, aligned: int | None, rate: int) -> int:
    """Choose the timestamp with which a stream goes on after a switch. It is always later than the last: equal ones are one frame.

    Args:
        last: sent last.
        aligned: what it should be by the sender's clock; None where that is not known.
        rate: units a second.
    """
    if aligned is None:
        return (last + rate // _FRAMES_A_SECOND) & 0xFFFFFFFF
    ahead = (aligned - last) & 0xFFFFFFFF
    if ahead < _LONGEST * rate:
        return aligned if ahead else (last + 1) & 0xFFFFFFFF
    return (last + 1) & 0xFFFFFFFF if ahead >= 0x80000000 else (last + rate // _FRAMES_A_SECOND) & 0xFFFFFFFF

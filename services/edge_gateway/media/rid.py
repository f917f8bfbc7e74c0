"""The two sizes of one picture: named in SDP by RIDs (RFC 8851, RFC 8853), and in packets by header extensions (RFC 8852). Pure."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from services.edge_gateway.media.rtp import HEADER_SIZE

Layer = Literal["big", "small"]
LAYERS: tuple[Layer, ...] = get_args(Layer)
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
_SEND = re.compile(r"a=simulcast:\s?(?:recv \S+ )?send (\S+)(?: recv \S+)?", re.ASCII)
_EXTENSION = 0x10
_ONE_BYTE_PROFILE = b"\xbe\xde"
_MAX_NAME = 16


class RidIds(NamedTuple):
    """The numbers that a publisher gives to the two header extensions; None where it does not offer one."""

    rid: int
    repaired: int | None


class NamedStream(NamedTuple):
    """What a packet says of its stream."""

    layer: Layer
    repairs: bool
    """It is that of the layer's retransmissions."""


def read_layers(lines: Sequence[str]) -> tuple[Layer, ...] | None:
    """Read an m-line's simulcast.

    Args:
        lines: its ``a=rid`` and ``a=simulcast``.

    Returns:
        The layers that are sent, none without simulcast; None when they are not ``big``, or ``big`` and ``small``.
    """
    lists = [found[1] for line in lines if (found := _SEND.fullmatch(line))]
    if not lists:
        # Chromium offers the RIDs of one encoding without a simulcast.
        return () if not any(line.startswith("a=simulcast:") for line in lines) else None
    sent = [name.removeprefix("~") for name in lists[0].split(";")]
    declared = {line[6:].split(" ")[0] for line in lines if line.startswith("a=rid:")}
    layers = tuple(layer for layer in LAYERS if layer in sent)
    return layers if len(layers) == len(sent) and "big" in layers and declared.issuperset(sent) else None


def name_of(packet: memoryview, ids: RidIds) -> NamedStream | None:
    """Say which layer's stream a packet is of, if it tells. Header extensions are not encrypted (RFC 3711, 3.1), nor checked yet."""
    size = len(packet)
    if size < HEADER_SIZE or not packet[0] & _EXTENSION:
        return None
    at = HEADER_SIZE + 4 * (packet[0] & 0x0F)
    if at + 4 > size or bytes(packet[at : at + 2]) != _ONE_BYTE_PROFILE:
        return None
    end = min(size, at + 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big"))
    at += 4
    while at < end:
        number, following = packet[at] >> 4, at + 2 + (packet[at] & 0x0F)
        if packet[at] == 0:
            at += 1
            continue
        if number == 15 or following > end:
            break
        if number in ids and following - at - 1 <= _MAX_NAME:
            name = bytes(packet[at + 1 : following])
            for layer in LAYERS:
                if name == layer.encode():
                    return NamedStream(layer, repairs=number == ids.repaired)
        at = following
    return None

"""Where a key frame starts, by the payloads of each codec that is forwarded. Pure."""

from services.edge_gateway.media import h264, vp8

_VP9_PICTURE, _VP9_PREDICTED, _VP9_LAYERS, _VP9_START = 0x80, 0x40, 0x20, 0x08
_VP9_LONG_PICTURE = 0x80
_VP9_SPATIAL = 0x0E
_AV1_SEQUENCE_START = 0x08


def starts(codec: str, payload: bytes) -> bool:
    """Tell whether a decoder can begin with this packet. For sound, with any.

    Args:
        codec: its name.
        payload: of an RTP packet.
    """
    match codec:
        case "VP8":
            descriptor = vp8.read(payload)
            return descriptor is not None and descriptor.key_frame
        case "H264":
            return h264.starts_key_frame(payload)
        case "VP9":
            return _starts_vp9(payload)
        case "AV1":
            # The aggregation header's N (AV1 in RTP, 4.4).
            return bool(payload and payload[0] & _AV1_SEQUENCE_START)
    return True


def _starts_vp9(payload: bytes) -> bool:
    """RFC 9628, 4.2: the start of a frame that follows no other, in the lowest spatial layer."""
    if not payload or payload[0] & _VP9_PREDICTED or not payload[0] & _VP9_START:
        return False
    if not payload[0] & _VP9_LAYERS:
        return True
    at = 1
    if payload[0] & _VP9_PICTURE:
        at += 2 if payload[at:] and payload[at] & _VP9_LONG_PICTURE else 1
    return len(payload) > at and not payload[at] & _VP9_SPATIAL

"""H.264 in RTP: where a key frame starts (RFC 6184, 5). Pure."""

_TYPE = 0x1F
_IDR, _SEQUENCE_PARAMETERS, _STAP_A, _FU_A = 5, 7, 24, 28
_STARTS = frozenset({_IDR, _SEQUENCE_PARAMETERS})
_FU_START = 0x80


def starts_key_frame(payload: bytes) -> bool:
    """Tell whether a decoder can begin with this packet: it holds parameters or the beginning of an IDR picture."""
    if len(payload) < 2:
        return False
    kind = payload[0] & _TYPE
    if kind == _FU_A:
        return bool(payload[1] & _FU_START) and payload[1] & _TYPE in _STARTS
    if kind == _STAP_A:
        return any(unit in _STARTS for unit in _aggregated(payload))
    return kind in _STARTS


def _aggregated(payload: bytes) -> list[int]:
    """Return the types of the units in a STAP-A packet, as far as they are whole."""
    kinds: list[int] = []
    at = 1
    while at + 2 < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        if not size or at + 2 + size > len(payload):
            break
        kinds.append(payload[at + 2] & _TYPE)
        at += 2 + size
    return kinds

"""VP8 in RTP: where a key frame starts, and the two running numbers that a subscriber must see without a jump (RFC 7741, 4.2). Pure."""

from typing import NamedTuple

PICTURE_IDS = 1 << 15
TL0_INDEXES = 1 << 8
_EXTENDED, _START, _PARTITION = 0x80, 0x10, 0x07
_HAS_PICTURE, _HAS_TL0, _HAS_LAYER = 0x80, 0x40, 0x30
_LONG = 0x80
_INTER_FRAME = 0x01


class Descriptor(NamedTuple):
    """What of a payload descriptor we need. Places are offsets in the payload; 0 is none."""

    picture_at: int
    picture: int
    """PictureID."""
    wide: bool
    """It has 15 bits, not 7."""
    tl0_at: int
    tl0: int
    """TL0PICIDX."""
    key_frame: bool
    """The packet is the first one of a key frame."""


class Shift(NamedTuple):
    """How far the two numbers of one stream are moved."""

    picture: int = 0
    tl0: int = 0


def read(payload: bytes) -> Descriptor | None:
    """Read a payload's descriptor; None where it is cut off."""
    try:
        return _read(payload)
    except IndexError:
        return None


def _read(payload: bytes) -> Descriptor:
    first, at = payload[0], 1
    picture_at = picture = tl0_at = tl0 = 0
    wide = False
    if first & _EXTENDED:
        fields = payload[at]
        at += 1
        if fields & _HAS_PICTURE:
            picture_at, wide = at, bool(payload[at] & _LONG)
            picture = (payload[at] & 0x7F) << 8 | payload[at + 1] if wide else payload[at]
            at += 2 if wide else 1
        if fields & _HAS_TL0:
            tl0_at, tl0 = at, payload[at]
            at += 1
        if fields & _HAS_LAYER:
            at += 1
    starts = bool(first & _START) and not first & _PARTITION
    return Descriptor(picture_at, picture, wide, tl0_at, tl0, key_frame=starts and not payload[at] & _INTER_FRAME)


def shift_to_follow(last: bytes, shift: Shift, following: bytes) -> Shift:
    """Work out how another stream is moved so that its numbers go on from one that ends.

    Args:
        last: the payload that was sent last.
        shift: that it was moved by.
        following: the first payload of the other stream.
    """
    before, after = read(last), read(following)
    if before is None or after is None:
        return shift
    return Shift((before.picture + shift.picture + 1 - after.picture) % PICTURE_IDS, (before.tl0 + shift.tl0 + 1 - after.tl0) % TL0_INDEXES)


def move(packet: memoryview, at: int, payload: bytes, shift: Shift) -> None:
    """Move the numbers of a packet that is about to be sent; its length stays.

    Args:
        packet: written, not yet encrypted.
        at: where its payload begins.
        payload: as it came.
        shift: how far.
    """
    found = read(payload)
    if found is None:
        return
    if found.picture_at:
        picture, place = found.picture + shift.picture, at + found.picture_at
        if found.wide:
            packet[place], packet[place + 1] = _LONG | picture >> 8 & 0x7F, picture & 0xFF
        else:
            packet[place] = picture & 0x7F
    if found.tl0_at:
        packet[at + found.tl0_at] = (found.tl0 + shift.tl0) & 0xFF

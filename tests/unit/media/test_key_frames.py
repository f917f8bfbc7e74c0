"""Where a decoder can begin."""

import pytest

from services.edge_gateway.media import key_frames

VP8_KEY, VP8_DELTA = b"\x10\x00", b"\x10\x01"


@pytest.mark.parametrize(
    ("codec", "payload", "starts"),
    [
        ("opus", b"", True),
        ("VP8", VP8_KEY, True),
        ("VP8", VP8_DELTA, False),
        ("VP8", b"", False),
        ("H264", bytes([7, 0]), True),
        ("H264", bytes([1, 0]), False),
        # RFC 9628, 4.2: B alone; the same as the second packet; predicted; with a picture id of one and of two bytes.
        ("VP9", bytes([0x08]), True),
        ("VP9", bytes([0x00]), False),
        ("VP9", bytes([0x48]), False),
        ("VP9", bytes([0xA8, 0x05, 0x00]), True),
        ("VP9", bytes([0xA8, 0x85, 0x01, 0x00]), True),
        # Another spatial layer of the same picture; cut off.
        ("VP9", bytes([0xA8, 0x05, 0x02]), False),
        ("VP9", bytes([0xA8, 0x85]), False),
        ("VP9", bytes([0xA8]), False),
        ("VP9", b"", False),
        ("AV1", bytes([0x08]), True),
        ("AV1", bytes([0x10]), False),
        ("AV1", b"", False),
    ],
)
def test_a_key_frame_starts_where_the_codec_says(codec, payload, starts):
    """And sound has none, so it can begin anywhere."""
    assert key_frames.starts(codec, payload) is starts

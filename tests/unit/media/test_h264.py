"""Where a key frame of H.264 starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.h264 import starts_key_frame


@pytest.mark.parametrize(
    ("payload", "starts"),
    [
        ("6742e01f", True),  # parameters
        ("65b8", True),  # a whole IDR picture
        ("7c85b8", True),  # the first piece of one
        ("7c05b8", False),  # a later piece
        ("7c81b8", False),  # the first piece of another picture
        ("41e0", False),
        ("0930", False),  # a delimiter
        ("6843", False),  # picture parameters alone: those of the sequence come before them
        ("780004674203ff0002684a", True),  # together: parameters of both
        ("7800020930000265b8", True),  # a delimiter, then an IDR picture
        ("7800020930000241e0", False),
        ("78ffff65", False),  # cut off
        ("780000", False),
        ("7c", False),
        ("", False),
    ],
)
def test_a_decoder_can_begin(payload, starts):
    """With parameters or the beginning of an IDR picture, alone, in pieces, or together with others."""
    assert starts_key_frame(bytes.fromhex(payload)) is starts


@given(st.binary(max_size=40))
def test_any_bytes_are_harmless(data):
    """They come from a browser."""
    starts_key_frame(data)

"""Layers, as SDP and packets name them."""

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.rid import REPAIRED_RID, RID, NamedStream, RidIds, name_of, read_layers

IDS = RidIds(10, 11)


@pytest.mark.parametrize(
    ("lines", "layers"),
    [
        ([], ()),
        (["a=rid:small send", "a=rid:big send", "a=simulcast:send small;big"], ("big", "small")),
        (["a=rid:big send", "a=rid:small send", "a=simulcast:send big;~small"], ("big", "small")),
        (["a=rid:big send", "a=simulcast:send big"], ("big",)),
        (["a=rid:big send", "a=rid:x recv", "a=simulcast:send big recv x"], ("big",)),
        (["a=rid:small send", "a=simulcast:send small"], None),
        (["a=rid:l send", "a=rid:h send", "a=simulcast:send l;h"], None),
        (["a=simulcast:send big;small"], None),
        (["a=rid:big send", "a=rid:small send", "a=simulcast:send big;small;big"], None),
        (["a=rid:big send", "a=simulcast:send big,small"], None),
        (["a=simulcast:nonsense"], None),
    ],
)
def test_an_m_lines_layers(lines, layers):
    """They are big and small, or there are none."""
    assert read_layers(lines) == layers


def packet(**extensions) -> memoryview:
    """Write a packet as aiortc does."""
    described = [RTCRtpHeaderExtensionParameters(10, RID), RTCRtpHeaderExtensionParameters(11, REPAIRED_RID)]
    described.append(RTCRtpHeaderExtensionParameters(3, "urn:ietf:params:rtp-hdrext:sdes:mid"))
    known = HeaderExtensionsMap()
    known.configure(RTCRtpParameters(headerExtensions=described))
    written = RtpPacket(payload_type=96, ssrc=7, payload=b"frame")
    for name, value in extensions.items():
        setattr(written.extensions, name, value)
    return memoryview(written.serialize(known))


@pytest.mark.parametrize(
    ("extensions", "named"),
    [
        ({}, None),
        ({"mid": "0"}, None),
        ({"mid": "0", "rtp_stream_id": "big"}, NamedStream("big", repairs=False)),
        ({"rtp_stream_id": "small"}, NamedStream("small", repairs=False)),
        ({"repaired_rtp_stream_id": "small", "mid": "1"}, NamedStream("small", repairs=True)),
        ({"rtp_stream_id": "middle"}, None),
    ],
)
def test_a_packet_names_its_stream(extensions, named):
    """By one of two header extensions; others are passed over."""
    assert name_of(packet(**extensions), IDS) == named


def test_another_number_is_another_extension():
    """The numbers are the publisher's."""
    assert name_of(packet(rtp_stream_id="big"), RidIds(4, None)) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_harmless(data):
    """They are read before anybody knows whether they are authentic."""
    name_of(memoryview(data), IDS)
    name_of(memoryview(b"\x90\x60" + bytes(10) + b"\xbe\xde" + data), IDS)

"""SDP that cannot be served: it is refused with a reason, and nothing else ever comes out."""

import contextlib

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.ice import Credentials
from services.edge_gateway.media.interface import MediaRefusedError
from services.edge_gateway.media.sdp import AUDIO_LEVEL, MAX_BYTES, read_answer, read_offer
from services.edge_gateway.media.sdp_writer import LocalTransport, write_answer
from tests.support.sdp import CAPTURED, changed

OPUS, VP8 = CODECS["opus"], CODECS["VP8"]
TRANSPORT = LocalTransport(Credentials("ufrag", "password"), ":".join(["AB"] * 32), ("192.0.2.1",), 40000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no m-line"),
        ("v=0\r\n", "no m-line"),
        ("hello", "no m-line"),
        ("v=x\r\n", "not SDP"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF x\r\n", "not SDP"),
        ("é" * (MAX_BYTES // 2 + 1), "longer than"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 9, "more than 8"),
        ("a=x\r\n" * 2001, "more than 2000 lines"),
        *(
            ("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" + f"a={line}\r\n" * 65, "too many")
            for line in (
                "rtpmap:0 x/1",
                "fmtp:0 apt=1",
                "fmtp:0 rtx-time=1;apt=1",
                "ssrc:1 cname:x",
                "ssrc-group:FID 1 2",
                "fingerprint:a b",
                "sendonly",
                f"extmap:1 {AUDIO_LEVEL}",
            )
        ),
        ("m=audio 9 UDP/TLS/RTP/SAVPF" + " 0" * 65 + "\r\n", "too many"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF" + "\t0" * 67 + "\r\n", "too many"),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" + "a=ssrc:1 cname:" + "x" * 8192, "more than 8192 characters"),
        (changed("^a=mid:0", "a=mid:\N{SNOWMAN}"), "mid"),
        (changed("^a=mid:0", "a=mid"), "mid"),
        (changed("^a=mid:1", "a=mid:0"), "mids are not distinct"),
        (changed("^a=group:BUNDLE 0 1", "a=group:BUNDLE 0"), "BUNDLE"),
        (changed("^a=rtcp-mux\r\n", ""), "rtcp-mux"),
        (changed("^a=setup:actpass", "a=setup:passive"), "DTLS server"),
        (changed("^a=setup:actpass\r\n", ""), "DTLS server"),
        (changed("^a=fingerprint:.*\r\n", ""), "fingerprint"),
        (changed("^a=fingerprint:sha-256", "a=fingerprint:md5"), "fingerprint"),
        (changed("^a=sendonly", "a=recvonly"), "does not send"),
        (changed(r"^m=(audio|video) \d+", r"m=\1 0"), "neither audio nor video"),
        (changed("^m=audio", "m=video"), "none of VP8"),
        (changed("VP8", "VP0"), "none of VP8"),
        (changed("opus/48000/2", "opus/48000"), "none of opus"),
        (changed("^a=ssrc.*\r\n", ""), "name its SSRC"),
        (changed(r"^a=ssrc-group:.*\r\n", ""), "more than one stream"),
        (changed(r"^a=ssrc:\d+ cname", "a=ssrc:4294967296 cname"), "32-bit"),
        (changed(r"^(a=ssrc(-group)?:.*)\r\n", "a=ssrc:7 cname:x\r\n"), "SSRCs are not distinct"),
        (changed("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "SAVPF"),
        (
            changed(r"\Z", CAPTURED["firefox-offer"][CAPTURED["firefox-offer"].index("m=video") :].replace("mid:1", "mid:2")),
            "more than one audio",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_with_a_reason(text, reason):
    """The client's developer reads what to change."""
    with pytest.raises(MediaRefusedError, match=reason) as refused:
        read_offer(text, [OPUS, VP8])
    assert refused.value.code == "unsupported_media"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (changed("^a=setup:active", "a=setup:passive", "chromium-answer"), "setup:active"),
        (changed("^a=setup:active", "a=setup:actpass", "chromium-answer"), "setup:active"),
        (changed(r"^m=(audio|video) \d+", r"m=\1 0", "chromium-answer"), "rejects every"),
        (CAPTURED["chromium-answer"] + "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n", "more than 2"),
        (CAPTURED["chromium-answer"] + "a=rtpmap:0 x/1\r\n" * 17, "too many"),
    ],
)
def test_answers_that_cannot_be_served_are_refused(text, reason):
    """The gateway is the DTLS server, always."""
    with pytest.raises(MediaRefusedError, match=reason):
        read_answer(text, 2)


def test_only_what_is_needed_is_parsed(monkeypatch):
    """The parser was not made for hostile input: it does not see other lines, however many there are or how wrong."""
    seen = []
    monkeypatch.setattr(SessionDescription, "parse", lambda text: seen.append(text) or SessionDescription())
    with pytest.raises(MediaRefusedError, match="no m-line"):
        read_offer("v=0\r\no=x\r\nm=audio 9 X 0\r\n" + "a=x\r\na=rtcp-fb:x\r\na=fmtp:0 x=1\r\na=extmap:x\r\n" * 400, [OPUS])
    assert seen == ["v=0\r\nm=audio 9 X 0"]


@st.composite
def mutilated(draw):
    """Take a captured SDP, and lose, repeat, swap and garble some of its lines."""
    lines = CAPTURED[draw(st.sampled_from(sorted(CAPTURED)))].split("\r\n")
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        cut = draw(st.integers(0, len(lines[at])))
        lines[at : at + 1] = draw(
            st.sampled_from(
                [
                    [],
                    [lines[at]] * 2,
                    [lines[at][:cut]],
                    [lines[at][:cut] + draw(st.text(max_size=8)) + lines[at][cut:]],
                    [lines[at][:cut] + draw(st.sampled_from([" ", ":", "/", "-1", "99999999999", "=", ";"])) + lines[at][cut + 1 :]],
                    [lines[draw(st.integers(0, len(lines) - 1))]],
                ]
            )
        )
        lines = lines or [""]
    return "\r\n".join(lines)


@given(mutilated())
def test_hostile_sdp_is_served_or_refused(text):
    """Nothing but the refusal ever comes out, and what is accepted can be answered."""
    with contextlib.suppress(MediaRefusedError):
        read = read_offer(text, [OPUS, VP8])
        assert len(SessionDescription.parse(write_answer(read, TRANSPORT, 5)).media) == len(read.sections)
    with contextlib.suppress(MediaRefusedError):
        read_answer(text, 8)


@given(st.text(max_size=300))
def test_any_text_is_served_or_refused(text):
    """Random text is no SDP."""
    for prefix in ("", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na="):
        with pytest.raises(MediaRefusedError):
            read_offer(prefix + text, [OPUS, VP8])

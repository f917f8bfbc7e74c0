"""SDP: what browsers really say, and what we say."""

import json
import re

import pytest
from aiortc.sdp import SessionDescription

from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.ice import Credentials
from services.edge_gateway.media.interface import MediaRefusedError
from services.edge_gateway.media.rid import REPAIRED_RID, RID, RidIds
from services.edge_gateway.media.sdp import extension_ids, read_answer, read_offer, to_aiortc
from services.edge_gateway.media.sdp_writer import LocalTransport, OfferedLine, SentStream, write_answer, write_offer
from tests.support.sdp import CAPTURED, changed

OPUS, VP8 = CODECS["opus"], CODECS["VP8"]
OFFERS = sorted(name for name in CAPTURED if "offer" in name)
TRANSPORT = LocalTransport(Credentials("ufrag", "password"), ":".join(["AB"] * 32), ("192.0.2.1", "192.0.2.2"), 40000)


def offer(name: str = "chromium-offer"):
    """Read a captured offer."""
    return read_offer(CAPTURED[name], [OPUS, VP8])


@pytest.mark.parametrize(
    ("name", "payload_types"),
    [
        ("chromium-offer", (111, None, 96, 97)),
        ("chromium-offer-with-data-channel", (111, None, 96, 97)),
        ("firefox-offer", (109, None, 120, 124)),
        ("firefox-offer-with-data-channel", (109, None, 120, 124)),
    ],
)
def test_browsers_offers_are_read(name, payload_types):
    """Chromium's, and Firefox's whose second m-line is bundle-only."""
    read = offer(name)
    audio, video = read.tracks
    assert (audio.codec, video.codec) == (OPUS, VP8)
    assert (audio.payload_type, audio.rtx_payload_type, video.payload_type, video.rtx_payload_type) == payload_types
    group = re.search(r"a=ssrc-group:FID (\d+) (\d+)", CAPTURED[name])
    assert (video.ssrc, video.rtx_ssrc) == (int(group[1]), int(group[2]))
    assert (audio.audio_level_id, video.audio_level_id, audio.rtx_ssrc) == (1, None, None)
    (fingerprint,) = read.fingerprints
    assert f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}" in CAPTURED[name]
    assert to_aiortc(read.fingerprints)[0].value == fingerprint.value
    assert extension_ids(read.tracks, 5) == {audio.ssrc: {1: 5}}


@pytest.mark.parametrize("name", ["chromium-answer", "firefox-answer"])
def test_browsers_answers_are_read(name):
    """They keep our payload types, so packets can be forwarded."""
    answer = read_answer(CAPTURED[name], 2)
    audio, video = answer.lines
    assert [(line.mid, line.rejected, line.receives) for line in answer.lines] == [("0", False, True), ("1", False, True)]
    assert OPUS.payload_type in audio.payload_types
    assert {VP8.payload_type, VP8.rtx_payload_type} <= video.payload_types
    assert (audio.audio_level, video.audio_level) == (True, False)
    assert len(answer.fingerprints) == 1


@pytest.mark.parametrize("name", OFFERS)
def test_answers_have_the_offers_shape(name):
    """As many m-lines, in the same order, with their mids; a data channel is rejected."""
    sdp = write_answer(offer(name), TRANSPORT, 5)
    theirs, ours = SessionDescription.parse(CAPTURED[name]), SessionDescription.parse(sdp)
    assert [(media.kind, media.rtp.muxId) for media in ours.media] == [(media.kind, media.rtp.muxId) for media in theirs.media]
    assert [media.port for media in ours.media] == [9, 9, 0][: len(ours.media)]
    assert ours.group[0].items == ["0", "1"]
    for media in ours.media[:2]:
        assert (media.direction, media.rtcp_mux, media.dtls.role, media.ice.iceLite) == ("recvonly", True, "server", True)
        assert (media.ice.usernameFragment, media.ice.password) == ("ufrag", "password")
        assert [(found.ip, found.port, found.type) for found in media.ice_candidates] == [
            ("192.0.2.1", 40000, "host"),
            ("192.0.2.2", 40000, "host"),
        ]
        assert media.ice_candidates[0].priority > media.ice_candidates[1].priority
        assert media.ice_candidates_complete
    audio, video = ours.media[:2]
    assert [codec.name for codec in audio.rtp.codecs] == ["opus"]
    assert [codec.name for codec in video.rtp.codecs] == ["VP8", "rtx"]
    assert video.rtp.codecs[1].parameters == {"apt": video.rtp.codecs[0].payloadType}
    assert {(found.type, found.parameter) for found in video.rtp.codecs[0].rtcpFeedback} == {
        ("ccm", "fir"),
        ("nack", None),
        ("nack", "pli"),
        ("goog-remb", None),
    }
    # No MID is negotiated: the publisher need not send what we would have to strip.
    assert [found.uri.rpartition(":")[2] for found in audio.rtp.headerExtensions] == ["ssrc-audio-level"]
    assert video.rtp.headerExtensions == []


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("H264", "VP8"), ("H264", 108, 109)),
        (("VP9",), ("VP9", 98, 99)),
        (("AV1", "VP8"), ("AV1", 45, 46)),
        (("VP8", "H264"), ("VP8", 96, 97)),
    ],
)
def test_the_first_of_our_codecs_that_is_offered_is_chosen(names, chosen):
    """Of H264, which Chromium offers in six kinds, the one that all browsers have; and no other is answered."""
    read = read_offer(CAPTURED["chromium-offer"], [OPUS, *(CODECS[name] for name in names)])
    _, video = read.tracks
    assert (video.codec.name, video.payload_type, video.rtx_payload_type) == chosen
    answered = SessionDescription.parse(write_answer(read, TRANSPORT, 5)).media[1].rtp.codecs
    assert [codec.name for codec in answered] == [chosen[0], "rtx"]


def test_a_codec_of_another_kind_is_none_of_ours():
    """Baseline without constraints, single units, another profile: they have the name, and nobody could be sure to decode them."""
    text = changed("profile-level-id=42e01f", "profile-level-id=640c1f")
    with pytest.raises(MediaRefusedError, match="the video m-line offers none of H264"):
        read_offer(text, [OPUS, CODECS["H264"]])
    with pytest.raises(MediaRefusedError, match="offers none of VP9"):
        read_offer(changed("profile-id=0", "profile-id=1"), [OPUS, CODECS["VP9"]])


def layered(simulcast: str = "a=rid:small send\r\na=rid:big send\r\na=simulcast:send small;big\r\n") -> str:
    """Make an offer of Chromium's into what it is with two encodings: the video's SSRCs are not named."""
    head, video = CAPTURED["chromium-offer"].split("m=video")
    return head + "m=video" + re.sub(r"a=ssrc.*\r\n", "", video) + simulcast


def test_a_picture_in_two_sizes_is_read_and_answered():
    """Its streams are named by packets; the answer takes both, with the header extensions that name them."""
    read = read_offer(layered(), [OPUS, CODECS["VP9"], VP8])
    _, video = read.tracks
    assert (video.codec, video.layers, video.rid_ids) == (VP8, ("big", "small"), RidIds(10, 11))
    assert (video.rtx_payload_type, video.rtx_ssrc) == (97, None)
    _, answer = write_answer(read, TRANSPORT, 5).split("m=video")
    assert answer.splitlines()[-5:] == [
        f"a=extmap:10 {RID}",
        f"a=extmap:11 {REPAIRED_RID}",
        "a=rid:big recv",
        "a=rid:small recv",
        "a=simulcast:recv big;small",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (layered("a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\n"), "the video m-line's layers are not big and small"),
        (layered("a=simulcast:send big;small\r\n" * 20), "layers are not big and small"),
        (layered("") + "a=rid:big send\r\n", "the video m-line does not name its SSRC"),
        (layered().replace("rtp-hdrext:sdes:rtp-stream-id", "other"), "layers need the header extension"),
    ],
)
def test_other_layers_are_refused(text, problem):
    """By what is wrong with them."""
    with pytest.raises(MediaRefusedError, match=problem):
        read_offer(text, [OPUS, VP8])


def test_layers_in_a_codec_without_them_are_refused():
    """Half of the viewers would see nothing."""
    with pytest.raises(MediaRefusedError, match="the video m-line offers none of what is forwarded like that"):
        read_offer(layered(), [OPUS, CODECS["VP9"]])


def test_an_answer_is_what_it_was():
    """The whole text, so that a change is seen by people."""
    text = changed(r"a=ssrc-group:.*\r\n", "")
    text = re.sub(r"(a=ssrc:\d+ (?:cname|msid).*\r\n)+\Z", "a=ssrc:7 cname:x\r\n", text)
    video_only = re.sub(r"m=audio \d+", "m=audio 0", text)
    assert write_answer(read_offer(video_only, [VP8]), TRANSPORT, 5).splitlines() == [
        "v=0",
        "o=- 5 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 1",
        "a=ice-lite",
        "a=msid-semantic: WMS *",
        "a=ice-ufrag:ufrag",
        "a=ice-pwd:password",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:passive",
        "m=audio 0 UDP/TLS/RTP/SAVPF 0",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=inactive",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "c=IN IP4 0.0.0.0",
        "a=mid:1",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 40000 typ host",
        "a=candidate:2 1 udp 2130706175 192.0.2.2 40000 typ host",
        "a=end-of-candidates",
        "a=rtpmap:96 VP8/90000",
        "a=rtcp-fb:96 ccm fir",
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:96 nack pli",
        "a=rtcp-fb:96 goog-remb",
    ]


def test_an_offer_names_what_it_carries():
    """Active, inactive and rejected m-lines, as a parser reads them."""
    lines = [
        OfferedLine("0", OPUS, SentStream("s", "a", 1, None)),
        OfferedLine("1", VP8, SentStream("s", "v", 2, 3)),
        OfferedLine("2", VP8, None),
        OfferedLine("3", OPUS, None, rejected=True),
    ]
    sdp = write_offer(lines, TRANSPORT, 5, 9)
    read = SessionDescription.parse(sdp)
    assert read.origin == "- 5 9 IN IP4 0.0.0.0"
    assert read.group[0].items == ["0", "channel", "1", "2"]
    channel = read.media.pop(1)
    assert (channel.kind, channel.port, channel.sctp_port, channel.profile) == ("application", 9, 5000, "UDP/DTLS/SCTP")
    assert [(media.kind, media.port, media.direction) for media in read.media] == [
        ("audio", 9, "sendonly"),
        ("video", 9, "sendonly"),
        ("video", 9, "inactive"),
        ("audio", 0, "inactive"),
    ]
    assert {media.dtls.role for media in read.media} == {"auto"}
    assert [media.msid for media in read.media] == ["s a", "s v", None, None]
    # Chromium takes the first a=ssrc for the media's.
    assert [[found.ssrc for found in media.ssrc] for media in read.media] == [[1], [2, 3], [], []]
    assert read.media[1].ssrc_group[0].items == [2, 3]
    assert re.findall("a=rtcp-fb:(.*) goog-remb", sdp) == ["96", "96"]
    # An answer to it is read back as ours to use.
    answer = read_answer(sdp.replace("actpass", "active").replace("sendonly", "recvonly"), 5)
    assert [line.mid for line in answer.lines] == ["0", "channel", "1", "2", "3"]
    answered = [(line.receives, line.rejected) for line in answer.lines if line.mid != "channel"]
    assert answered == [(True, False), (True, False), (False, False), (False, True)]
    assert answer.lines[0].audio_level
    assert answer.channel_port == 5000


@pytest.mark.parametrize(
    ("wish", "port"),
    [("", 5000), ("a=sctp-port:0", None), ("a=sctp-port:65536", None), ("a=max-message-size:1", None), ("m=application 0", None)],
)
def test_a_client_may_want_no_data_channel(wish, port):
    """It rejects the m-line, or names no port that there can be."""
    sdp = write_offer([OfferedLine("0", OPUS, None)], TRANSPORT, 5, 1).replace("actpass", "active")
    if wish.startswith("m="):
        sdp = sdp.replace("m=application 9", wish)
    elif wish:
        sdp = sdp.replace("a=sctp-port:5000", wish)
    assert read_answer(sdp, 2).channel_port == port


def test_tcp_candidates_stand_in_the_first_line_only():
    """Below UDP's in priority (RFC 6544, 4.2), on the same port; the transport is the first line's (RFC 8843)."""
    transport = LocalTransport(TRANSPORT.credentials, TRANSPORT.fingerprint, ("192.0.2.1", "2001:db8::1"), 40000, tcp=True)
    answered = write_answer(offer("chromium-offer"), transport, 5)
    offered = write_offer([OfferedLine("0", OPUS, None), OfferedLine("1", VP8, None)], transport, 5, 1)
    for sdp in (answered, offered):
        first, second = sdp.split("m=")[1:3]
        assert re.findall(r"a=candidate:(.*)\r\n", first) == [
            "1 1 udp 2130706431 192.0.2.1 40000 typ host",
            "2 1 udp 2130706175 2001:db8::1 40000 typ host",
            "3 1 tcp 1520434687 192.0.2.1 40000 typ host tcptype passive",
            "4 1 tcp 1520434431 2001:db8::1 40000 typ host tcptype passive",
        ]
        assert "tcptype" not in second
        assert second.count("a=candidate") == 2


def test_the_largest_offer_fits_into_a_message():
    """64 m-lines, half of them active video, four addresses: below 64 KiB, as JSON too."""
    active = [OfferedLine(str(mid), VP8, SentStream("s" * 32, "t" * 32, 2**32 - 1, 2**32 - 1)) for mid in range(1000, 1032)]
    dead = [OfferedLine(str(mid), VP8, None) for mid in range(1032, 1064)]
    transport = LocalTransport(Credentials.fresh(), TRANSPORT.fingerprint, ("255.255.255.255",) * 4, 65535, tcp=True)
    assert len(json.dumps(write_offer([*active, *dead], transport, 2**62, 10**6))) < 60_000


def test_payload_types_that_look_like_rtcp_are_not_used():
    """With the marker, 64 to 95 is an RTCP type (RFC 5761, 4)."""
    with pytest.raises(MediaRefusedError, match="none of opus"):
        read_offer(changed(r"\b111\b", "80"), [OPUS])


def test_an_offer_of_everything_a_browser_can_have_is_read():
    """All payload types, each with its feedback and parameters, 60 candidates, 16 header extensions: three times Chromium's."""
    types = [*range(35, 64), *(number for number in range(98, 128))]
    codecs = "".join(
        f"a=rtpmap:{number} H265/90000\r\n"
        + "".join(f"a=rtcp-fb:{number} {kind}\r\n" for kind in ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"))
        + (f"a=fmtp:{number} apt={number - 1}\r\n" if number % 2 else f"a=fmtp:{number} level-id=180;profile-id=2;tier-flag=0\r\n")
        for number in types
    )
    extensions = "".join(f"a=extmap:{number} urn:x-test:{number}\r\n" for number in range(1, 17))
    candidates = "".join(
        f"a=candidate:{number} 1 udp 2122260223 192.0.2.1 {number} typ host generation 0 network-id 1\r\n" for number in range(1, 61)
    )
    text = changed(r"^(m=video .*)", r"\1 " + " ".join(map(str, types)))
    text = re.sub(r"(?ms)^(a=rtpmap:96 .*?a=fmtp:97 apt=96\r\n).*(?=a=ssrc-group)", lambda found: found[1] + codecs, text)
    text = text.replace("a=mid:1\r\n", "a=mid:1\r\n" + extensions).replace("a=mid:0\r\n", "a=mid:0\r\n" + candidates)
    assert len(text.splitlines()) > 550
    assert read_offer(text, [OPUS, VP8]).tracks == offer().tracks


def test_the_largest_answer_is_read():
    """To 64 m-lines, as Chromium writes it."""
    head, audio, video = re.split(r"(?m)^(?=m=)", CAPTURED["chromium-answer"])
    sections = [re.sub(r"a=mid:\d", f"a=mid:{1000 + number}", (audio, video)[number % 2]) for number in range(64)]
    mids = " ".join(str(1000 + number) for number in range(64))
    text = re.sub("BUNDLE .*(?=\r)", f"BUNDLE {mids}", head) + "".join(sections)
    assert len(read_answer(text, 64).lines) == 64

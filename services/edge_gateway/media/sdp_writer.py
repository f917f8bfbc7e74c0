"""Writes our SDP: answers to publications, offers to subscribers (RFC 8829, RFC 8843, RFC 8839).

The gateway is ICE-lite behind fixed addresses, so what it says of its transport is the same for every m-line and
stands once, at the session level. Only the candidates are repeated in every m-line: there is no place for them at the
session level, and aiortc as a client takes those of the last m-line for the transport that all share.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from services.edge_gateway.media.channel import MAX_WORD
from services.edge_gateway.media.codecs import Codec
from services.edge_gateway.media.ice import Credentials
from services.edge_gateway.media.rid import REPAIRED_RID, RID
from services.edge_gateway.media.sdp import AUDIO_LEVEL, OfferedSection, OfferedTrack, PublishOffer

AUDIO_LEVEL_ID = 1
"""The header extension's number towards subscribers."""
CHANNEL_MID = "channel"
"""Of the data channel's m-line, which is the second in every offer."""
_SCTP_PORT = 5000


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """What clients are told of one of our transports."""

    credentials: Credentials
    fingerprint: str
    """sha-256 of our certificate, as SDP writes it."""
    addresses: Sequence[str]
    """Best first."""
    port: int
    tcp: bool = False
    """Whether the same addresses and port take TCP, too."""


@dataclass(frozen=True, slots=True)
class SentStream:
    """What an m-line of an offer carries."""

    stream: str
    """The same for what is played in step; also the CNAME."""
    track: str
    ssrc: int
    rtx_ssrc: int | None


@dataclass(frozen=True, slots=True)
class OfferedLine:
    """One m-line of an offer."""

    mid: str
    codec: Codec
    sent: SentStream | None
    """None: inactive."""
    rejected: bool = False
    """Port 0: the place in the SDP is to be used again (RFC 8829, 5.2.2)."""


def write_answer(offer: PublishOffer, transport: LocalTransport, session_id: int, version: int = 1) -> str:
    """Answer a publication.

    Args:
        offer: what the client offered.
        transport: ours, for it.
        session_id: random, the same for all answers to it.
        version: rises with every answer.
    """
    accepted = [section.mid for section in offer.sections if section.track]
    lines = [*_session_lines(session_id, version, accepted, transport, "passive")]
    for section in offer.sections:
        lines += _answered_section(section, transport, first=section.mid == accepted[0])
    return _text(lines)


def write_offer(lines: Sequence[OfferedLine], transport: LocalTransport, session_id: int, version: int) -> str:
    """Offer a subscriber all its m-lines.

    Args:
        lines: in their order, which never changes; at least one.
        transport: ours, for this subscriber.
        session_id: random, the same for all offers to it.
        version: rises with every offer.
    """
    first, *others = lines
    used = [first.mid, CHANNEL_MID, *(line.mid for line in others if not line.rejected)]
    written = [*_session_lines(session_id, version, used, transport, "actpass")]
    written += _offered_section(first, transport, first=True)
    # Behind the first, whose transport is everybody's: a client that wants no data channel rejects it.
    written += _channel_section(transport)
    for line in others:
        written += _offered_section(line, transport, first=False)
    return _text(written)


def _text(lines: Sequence[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def _session_lines(session_id: int, version: int, mids: Sequence[str], transport: LocalTransport, setup: str) -> Iterator[str]:
    yield "v=0"
    yield f"o=- {session_id} {version} IN IP4 0.0.0.0"
    yield "s=-"
    yield "t=0 0"
    yield f"a=group:BUNDLE {' '.join(mids)}"
    yield "a=ice-lite"
    yield "a=msid-semantic: WMS *"
    yield f"a=ice-ufrag:{transport.credentials.ufrag}"
    yield f"a=ice-pwd:{transport.credentials.password}"
    yield f"a=fingerprint:sha-256 {transport.fingerprint}"
    yield f"a=setup:{setup}"


def _candidate_lines(transport: LocalTransport, *, first: bool) -> Iterator[str]:
    for index, address in enumerate(transport.addresses):
        # RFC 8445, 5.1.2.1: type preference of a host candidate, ours by the order, component 1.
        priority = 126 << 24 | (65535 - index) << 8 | 255
        yield f"a=candidate:{index + 1} 1 udp {priority} {address} {transport.port} typ host"
    if transport.tcp and first:
        # Once is enough for those who know TCP (RFC 8843, 7.1.3).
        for index, address in enumerate(transport.addresses, len(transport.addresses)):
            # RFC 6544, 4.2: below UDP's type preference; local preference by the direction, then ours.
            priority = 90 << 24 | (4 << 13 | 8191 - index) << 8 | 255
            yield f"a=candidate:{index + 1} 1 tcp {priority} {address} {transport.port} typ host tcptype passive"
    yield "a=end-of-candidates"


def _section_lines(kind: str, mid: str, formats: Sequence[int], direction: Literal["recvonly", "sendonly", "inactive"]) -> Iterator[str]:
    yield f"m={kind} 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, formats))}"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=mid:{mid}"
    yield f"a={direction}"
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"


def _codec_lines(codec: Codec, payload_type: int, rtx_payload_type: int | None) -> Iterator[str]:
    yield f"a=rtpmap:{payload_type} {codec.rtpmap}"
    if codec.parameters:
        yield f"a=fmtp:{payload_type} {codec.parameters}"
    for feedback in codec.feedback:
        yield f"a=rtcp-fb:{payload_type} {feedback}"
    if codec.kind == "video":
        # Publishers are told a limit, and subscribers tell what their line can take.
        yield f"a=rtcp-fb:{payload_type} goog-remb"
    if rtx_payload_type is not None:
        yield f"a=rtpmap:{rtx_payload_type} rtx/{codec.clock_rate}"
        yield f"a=fmtp:{rtx_payload_type} apt={payload_type}"


def _formats(payload_type: int, rtx_payload_type: int | None) -> list[int]:
    return [payload_type] if rtx_payload_type is None else [payload_type, rtx_payload_type]


def _answered_section(section: OfferedSection, transport: LocalTransport, *, first: bool) -> Iterator[str]:
    if section.track is None:
        yield from _rejected_section(section.kind, section.mid)
        return
    track: OfferedTrack = section.track
    formats = _formats(track.payload_type, track.rtx_payload_type)
    yield from _section_lines(section.kind, section.mid, formats, "recvonly")
    yield from _candidate_lines(transport, first=first)
    yield from _codec_lines(track.codec, track.payload_type, track.rtx_payload_type)
    if track.audio_level_id is not None:
        yield f"a=extmap:{track.audio_level_id} {AUDIO_LEVEL}"
    if track.rid_ids is not None:
        yield from _layer_lines(track)


def _layer_lines(track: OfferedTrack) -> Iterator[str]:
    """Take what is offered in layers (RFC 8853, 5.3)."""
    assert track.rid_ids is not None
    yield f"a=extmap:{track.rid_ids.rid} {RID}"
    if track.rid_ids.repaired is not None:
        yield f"a=extmap:{track.rid_ids.repaired} {REPAIRED_RID}"
    for layer in track.layers:
        yield f"a=rid:{layer} recv"
    yield f"a=simulcast:recv {';'.join(track.layers)}"


def _rejected_section(kind: str, mid: str) -> Iterator[str]:
    if kind == "application":
        yield "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"
    else:
        yield f"m={kind} 0 UDP/TLS/RTP/SAVPF 0"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=mid:{mid}"
    yield "a=inactive"


def _channel_section(transport: LocalTransport) -> Iterator[str]:
    """Offer a data channel (RFC 8841)."""
    yield "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=mid:{CHANNEL_MID}"
    yield from _candidate_lines(transport, first=False)
    yield f"a=sctp-port:{_SCTP_PORT}"
    yield f"a=max-message-size:{MAX_WORD}"


def _offered_section(line: OfferedLine, transport: LocalTransport, *, first: bool) -> Iterator[str]:
    codec, sent = line.codec, line.sent
    if line.rejected:
        yield from _rejected_section(codec.kind, line.mid)
        return
    rtx_payload_type = codec.rtx_payload_type
    formats = _formats(codec.payload_type, rtx_payload_type)
    yield from _section_lines(codec.kind, line.mid, formats, "sendonly" if sent else "inactive")
    yield from _candidate_lines(transport, first=first)
    yield from _codec_lines(codec, codec.payload_type, rtx_payload_type)
    if codec.kind == "audio":
        yield f"a=extmap:{AUDIO_LEVEL_ID} {AUDIO_LEVEL}"
    if sent:
        yield f"a=msid:{sent.stream} {sent.track}"
        if sent.rtx_ssrc is not None:
            yield f"a=ssrc-group:FID {sent.ssrc} {sent.rtx_ssrc}"
        # The media's own comes first: Chromium takes the first one for it, whatever the group says.
        yield f"a=ssrc:{sent.ssrc} cname:{sent.stream}"
        if sent.rtx_ssrc is not None:
            yield f"a=ssrc:{sent.rtx_ssrc} cname:{sent.stream}"

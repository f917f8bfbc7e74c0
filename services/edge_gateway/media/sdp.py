"""Reads what clients say in SDP: a publication's offer, and answers to our offers.

aiortc's parser does the reading. It was not made for hostile input, so it sees only the lines that we need, and so many
of them as browsers write; whatever it raises becomes one refusal.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS, RTCDtlsFingerprint
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.sdp import MediaDescription, SessionDescription

from services.edge_gateway.media.codecs import Codec
from services.edge_gateway.media.interface import Kind, MediaRefusedError
from services.edge_gateway.media.rid import REPAIRED_RID, RID, Layer, RidIds, read_layers

MAX_BYTES = 64 * 1024
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
"""The one header extension that is forwarded (RFC 6464): who is speaking."""
_MAX_LINES = 2000
"""Chromium's offer of all its codecs has 300; an answer to 64 m-lines has 1,300."""
_MAX_FORMATS = 64
"""Of one m-line: there are 63 payload types for a browser to give away."""
_READ = re.compile(
    r"[mv]=|a=(?:mid|group|setup|fingerprint|rtcp-mux|rtpmap|ssrc|ssrc-group|sctp-port|sendrecv|sendonly|recvonly|inactive)(?::|\Z)"
    r"|a=fmtp:\d+ (?:[\w-]+=[\w-]+; ?){0,8}(?:apt|packetization-mode|profile-level-id|profile-id|profile)=[\w-]+"
    rf"|a=extmap:\S+ (?:{re.escape(AUDIO_LEVEL)}|{re.escape(RID)}|{re.escape(REPAIRED_RID)})",
    re.ASCII,
)
"""What we need. Of formats' parameters that is whose retransmissions they are, and profiles; of the header extensions, three. A client's
candidates mean nothing to an ICE-lite agent, and what feedback it knows we know."""
_MAX_FINGERPRINTS = 16
_MAX_RIDS = 8
"""``a=rid`` and ``a=simulcast`` of one m-line: more than any browser has."""
_MID = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """How much the parser is given."""

    sections: int
    repeated: int
    """Lines of one name in an m-line; the parser looks most of them up in a list of the ones before."""
    characters: int


_OFFER = _Bounds(sections=8, repeated=_MAX_FORMATS, characters=8 * 1024)
"""Of Chromium's offer, 2,000 characters are read."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of a client's DTLS certificate, in capitals (RFC 8122, 5)."""

    algorithm: str
    value: str


Fingerprints = frozenset[Fingerprint]


@dataclass(frozen=True, slots=True)
class OfferedTrack:
    """What a publisher sends in one m-line."""

    codec: Codec
    payload_type: int
    ssrc: int
    """0 with layers: each has one of its own, which its packets tell."""
    rtx_payload_type: int | None
    rtx_ssrc: int | None
    audio_level_id: int | None
    layers: tuple[Layer, ...] = ()
    """None: there is one stream."""
    rid_ids: RidIds | None = None
    """With layers: how their packets name them."""


@dataclass(frozen=True, slots=True)
class OfferedSection:
    """One m-line of a publication's offer; without a track we reject it."""

    kind: str
    mid: str
    track: OfferedTrack | None


@dataclass(frozen=True, slots=True)
class PublishOffer:
    """A publication's offer that can be served."""

    sections: tuple[OfferedSection, ...]
    fingerprints: Fingerprints

    @property
    def tracks(self) -> tuple[OfferedTrack, ...]:
        """What is published, in the order of the m-lines."""
        return tuple(section.track for section in self.sections if section.track)


@dataclass(frozen=True, slots=True)
class AnsweredLine:
    """What a subscriber answered to one m-line."""

    mid: str
    rejected: bool
    """Its port is 0."""
    receives: bool
    payload_types: frozenset[int]
    audio_level: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A subscriber's answer."""

    lines: tuple[AnsweredLine, ...]
    fingerprints: Fingerprints
    channel_port: int | None
    """Of SCTP; None: the client wants no data channel."""


def read_offer(text: str, codecs: Sequence[Codec]) -> PublishOffer:
    """Read a publication's offer.

    Args:
        text: the SDP.
        codecs: those that may be published, in the order of preference.

    Raises:
        MediaRefusedError: ``unsupported_media``, with what is wrong.
    """
    description, extras = _parse(text, _OFFER)
    sections = tuple(_read_section(media, extra, codecs) for media, extra in zip(description.media, extras, strict=True))
    accepted = [media for media, section in zip(description.media, sections, strict=True) if section.track]
    if not accepted:
        raise _refused("the offer sends neither audio nor video")
    kinds = [media.kind for media in accepted]
    if len(set(kinds)) != len(kinds):
        raise _refused("the offer sends more than one audio or more than one video m-line")
    _check_distinct([section.mid for section in sections], "mids")
    tracks = [section.track for section in sections if section.track]
    known = [ssrc for track in tracks if not track.layers for ssrc in (track.ssrc, track.rtx_ssrc) if ssrc is not None]
    _check_distinct(known, "SSRCs")
    _check_bundle(description, [media.rtp.muxId for media in accepted])
    return PublishOffer(sections, _transport(accepted, {"auto", "client"}, "offer a=setup:actpass or active"))


def read_answer(text: str, max_lines: int) -> Answer:
    """Read an answer to one of our offers.

    Raises:
        MediaRefusedError: ``unsupported_media``, with what is wrong.
    """
    # We offer at most two formats in an m-line. Of an answer to 64, some 20,000 characters are read.
    description, _ = _parse(text, _Bounds(sections=max_lines, repeated=16, characters=32 * 1024))
    used = [media for media in description.media if media.port]
    if not used:
        raise _refused("the answer rejects every m-line")
    lines = tuple(_read_answered(media) for media in description.media)
    _check_bundle(description, [media.rtp.muxId for media in used])
    return Answer(lines, _transport(used, {"client"}, "answer a=setup:active"), _channel_port(used))


def _channel_port(used: Sequence[MediaDescription]) -> int | None:
    ports = [media.sctp_port for media in used if media.kind == "application"]
    # RFC 8841, 5.2: without it, as with a port that is none, there is no association.
    return ports[0] if ports and ports[0] is not None and 0 < ports[0] < 65536 else None


def _refused(message: str) -> MediaRefusedError:
    return MediaRefusedError("unsupported_media", message)


@dataclass(slots=True)
class _Unread:
    """What the parser does not tell of an m-line."""

    bundle_only: bool = False
    simulcast: list[str] = field(default_factory=list)
    """``a=rid`` and ``a=simulcast``."""


def _parse(text: str, bounds: _Bounds) -> tuple[SessionDescription, list[_Unread]]:
    kept, extras = _scan(text, bounds)
    try:
        description = SessionDescription.parse(kept)
    except Exception as error:
        raise _refused("this is not SDP that we can read") from error
    if not description.media:
        raise _refused("there is no m-line")
    for media, extra in zip(description.media, extras, strict=True):
        # A bare "a=mid" leaves None behind.
        if not _MID.fullmatch(media.rtp.muxId or ""):
            raise _refused("every m-line needs a mid of 1 to 32 plain characters")
        if extra.bundle_only:
            # Firefox: port 0 says that the m-line lives in the BUNDLE or not at all (RFC 8843, 6).
            media.port = media.port or 9
        media.direction = media.direction or "sendrecv"
    return description, extras


def _scan(text: str, bounds: _Bounds) -> tuple[str, list[_Unread]]:
    """Check the bounds.

    Returns:
        The lines that the parser reads, and for each m-line what it does not.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise _refused(f"the SDP is longer than {MAX_BYTES} bytes")
    lines = text.splitlines()
    if len(lines) > _MAX_LINES:
        raise _refused(f"the SDP has more than {_MAX_LINES} lines")
    kept: list[str] = []
    extras: list[_Unread] = []
    counts: Counter[str] = Counter()
    for line in lines:
        if extras and line == "a=bundle-only":
            extras[-1].bundle_only = True
        if extras and line.startswith(("a=rid:", "a=simulcast:")) and len(extras[-1].simulcast) < _MAX_RIDS:
            extras[-1].simulcast.append(line)
        if _READ.match(line) is None:
            continue
        if line.startswith("m="):
            extras.append(_Unread())
            counts.clear()
            if len(extras) > bounds.sections:
                raise _refused(f"there are more than {bounds.sections} m-lines")
        name = line.partition(":")[0]
        counts[name] += 1
        if counts[name] > bounds.repeated or len(line.split()) > 3 + _MAX_FORMATS:
            raise _refused("an m-line has too many attributes or formats")
        kept.append(line)
    read = "\r\n".join(kept)
    if len(read) > bounds.characters:
        raise _refused(f"more than {bounds.characters} characters of the SDP would have to be read")
    return read, extras


def _check_distinct(values: Sequence[object], name: str) -> None:
    if len(set(values)) != len(values):
        raise _refused(f"the offer's {name} are not distinct")


def _check_bundle(description: SessionDescription, mids: Sequence[str]) -> None:
    if len(mids) > 1 and not any(group.semantic == "BUNDLE" and set(mids) <= set(group.items) for group in description.group):
        raise _refused("all m-lines must be in one BUNDLE group")


def _transport(used: Sequence[MediaDescription], roles: set[str], wanted: str) -> Fingerprints:
    """Check what all m-lines share, and return the certificate's fingerprints."""
    if not all(media.rtcp_mux for media in used if media.kind != "application"):
        raise _refused("a=rtcp-mux is missing")
    # In a BUNDLE the first m-line's transport is everybody's (RFC 8843, 7.1.3).
    dtls = used[0].dtls
    if dtls is None or dtls.role not in roles:
        raise _refused(f"the gateway is the DTLS server: {wanted}")
    known = frozenset(
        Fingerprint(found.algorithm.lower(), found.value.upper())
        for found in dtls.fingerprints[:_MAX_FINGERPRINTS]
        if found.algorithm.lower() in X509_DIGEST_ALGORITHMS
    )
    if not known:
        raise _refused("a=fingerprint is missing, or of none of " + ", ".join(X509_DIGEST_ALGORITHMS))
    return known


def to_aiortc(fingerprints: Fingerprints) -> list[RTCDtlsFingerprint]:
    """Write fingerprints in aiortc's type."""
    return [RTCDtlsFingerprint(algorithm=found.algorithm, value=found.value) for found in fingerprints]


def _read_section(media: MediaDescription, extra: _Unread, codecs: Sequence[Codec]) -> OfferedSection:
    mid = media.rtp.muxId
    if media.kind not in {"audio", "video"} or not media.port or media.direction == "inactive":
        return OfferedSection(media.kind, mid, None)
    kind: Kind = "audio" if media.kind == "audio" else "video"
    if media.direction not in {"sendonly", "sendrecv"}:
        raise _refused(f"the {kind} m-line does not send")
    if media.profile not in {"UDP/TLS/RTP/SAVPF", "RTP/SAVPF"}:
        raise _refused(f"the {kind} m-line is not UDP/TLS/RTP/SAVPF")
    layers = _read_layers(kind, extra)
    if layers:
        codecs = [codec for codec in codecs if codec.layered]
    codec, payload_type = _choose(kind, media.rtp.codecs, media.fmt, codecs)
    ssrc, rtx_ssrc = (0, 0) if layers else _read_ssrcs(kind, media)
    rtx = [
        offered.payloadType
        for offered in media.rtp.codecs
        if offered.name.lower() == "rtx" and offered.parameters.get("apt") == payload_type and offered.payloadType in media.fmt
    ]
    repaired = rtx_ssrc is not None and bool(rtx) and _usable(rtx[0])
    level = [found.id for found in media.rtp.headerExtensions if found.uri == AUDIO_LEVEL and 1 <= found.id <= 14]
    return OfferedSection(
        kind,
        mid,
        OfferedTrack(
            codec=codec,
            payload_type=payload_type,
            ssrc=ssrc,
            rtx_payload_type=rtx[0] if repaired else None,
            rtx_ssrc=rtx_ssrc if repaired and not layers else None,
            audio_level_id=level[0] if kind == "audio" and level else None,
            layers=layers,
            rid_ids=_read_rid_ids(media) if layers else None,
        ),
    )


def _read_layers(kind: Kind, extra: _Unread) -> tuple[Layer, ...]:
    layers = read_layers(extra.simulcast)
    if layers is None or (layers and kind == "audio"):
        raise _refused(f"the {kind} m-line's layers are not big and small")
    return layers


def _read_rid_ids(media: MediaDescription) -> RidIds:
    ids = {found.uri: found.id for found in media.rtp.headerExtensions if 1 <= found.id <= 14}
    if RID not in ids:
        raise _refused(f"layers need the header extension {RID}")
    return RidIds(ids[RID], ids.get(REPAIRED_RID))


def _choose(kind: Kind, offered: Sequence[RTCRtpCodecParameters], formats: Sequence[int], codecs: Sequence[Codec]) -> tuple[Codec, int]:
    """Take the first of our codecs that the m-line offers."""
    wanted = [codec for codec in codecs if codec.kind == kind]
    for codec in wanted:
        for candidate in offered:
            number = candidate.payloadType
            same = candidate.name.lower() == codec.name.lower() and candidate.clockRate == codec.clock_rate
            same = same and candidate.channels == codec.channels and codec.fits(candidate.parameters)
            if same and number is not None and number in formats and _usable(number):
                return codec, number
    names = ", ".join(codec.name for codec in wanted) or "what is forwarded like that"
    raise _refused(f"the {kind} m-line offers none of {names}")


def _usable(payload_type: int | None) -> bool:
    """Rule out what looks like RTCP on the same port (RFC 5761, 4)."""
    return payload_type is not None and (0 <= payload_type < 64 or 96 <= payload_type < 128)


def _read_ssrcs(kind: Kind, media: MediaDescription) -> tuple[int, int | None]:
    """Find the SSRC of the media and that of its retransmissions (RFC 5576, 4.2; RFC 4588, 8.1)."""
    named: list[int] = [found.ssrc for found in media.ssrc]
    if not all(0 <= ssrc <= 0xFFFFFFFF for ssrc in named):
        raise _refused(f"the {kind} m-line has an SSRC that is not a 32-bit number")
    pairs = [group.items for group in media.ssrc_group if group.semantic == "FID"]
    if not named:
        raise _refused(f"the {kind} m-line does not name its SSRC")
    if not pairs and len(named) == 1:
        return named[0], None
    if len(pairs) == 1 and len(pairs[0]) == 2 and set(pairs[0]) == set(named):
        return int(pairs[0][0]), int(pairs[0][1])
    raise _refused(f"the {kind} m-line sends more than one stream (simulcast is not served)")


def _read_answered(media: MediaDescription) -> AnsweredLine:
    return AnsweredLine(
        mid=media.rtp.muxId,
        rejected=media.port == 0,
        receives=media.port != 0 and media.direction in {"recvonly", "sendrecv"},
        payload_types=frozenset(codec.payloadType for codec in media.rtp.codecs if codec.payloadType is not None) & set(media.fmt),
        audio_level=any(found.uri == AUDIO_LEVEL for found in media.rtp.headerExtensions),
    )


def extension_ids(tracks: Sequence[OfferedTrack], ours: int) -> Mapping[int, Mapping[int, int]]:
    """Say for each SSRC which header extensions are kept: the publisher's number to ours."""
    kept: dict[int, Mapping[int, int]] = {}
    for track in tracks:
        if track.audio_level_id is not None:
            kept[track.ssrc] = {track.audio_level_id: ours}
    return kept

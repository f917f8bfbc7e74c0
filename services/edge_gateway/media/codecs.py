"""The codecs that are forwarded. What a codec needs is its lines in the SDP; payloads are looked into only for where key frames begin."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.edge_gateway.media.interface import Kind


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec as our SDP describes it."""

    kind: Kind
    name: str
    clock_rate: int
    """RTP timestamp units per second."""
    channels: int | None
    parameters: str
    """Of the ``a=fmtp`` line; empty for none."""
    feedback: tuple[str, ...]
    """RTCP feedback that we give to publishers, and take from subscribers."""
    payload_type: int
    """Towards subscribers; a publisher's is the one that it offers."""
    rtx_payload_type: int | None
    """Towards subscribers; none, lost packets are not sent again."""
    requires: tuple[tuple[str, str, str], ...] = ()
    """Of a publisher's ``a=fmtp``: a parameter, how its value begins, and the value that it has where it is not named."""
    layered: bool = False
    """It may be published in two sizes: its key frames are told apart from others."""

    @property
    def rtpmap(self) -> str:
        """What follows the payload type in ``a=rtpmap``."""
        return f"{self.name}/{self.clock_rate}" + (f"/{self.channels}" if self.channels else "")

    def fits(self, parameters: Mapping[str, object]) -> bool:
        """Whether what a publisher offers under the codec's name is this kind of it."""
        return all(str(parameters.get(name, default)).lower().startswith(wanted) for name, wanted, default in self.requires)


_FEEDBACK = ("ccm fir", "nack", "nack pli")

CODECS = {
    "opus": Codec("audio", "opus", 48000, 2, "minptime=10;useinbandfec=1", (), 111, None),
    "VP8": Codec("video", "VP8", 90000, None, "", _FEEDBACK, 96, 97, layered=True),
    # RFC 9628, 6: profile 0 is 8 bits, 4:2:0, which every decoder has.
    "VP9": Codec("video", "VP9", 90000, None, "profile-id=0", _FEEDBACK, 98, 99, (("profile-id", "0", "0"),)),
    # RFC 6184, 8.1: constrained baseline is what all browsers have; level 3.1, and more where both agree to asymmetry.
    "H264": Codec(
        "video",
        "H264",
        90000,
        None,
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        _FEEDBACK,
        102,
        103,
        (("packetization-mode", "1", "0"), ("profile-level-id", "42e0", "420010")),
        layered=True,
    ),
    "AV1": Codec("video", "AV1", 90000, None, "level-idx=5;profile=0;tier=0", _FEEDBACK, 45, 46, (("profile", "0", "0"),)),
}

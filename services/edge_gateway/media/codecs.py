"""The codecs that are forwarded. Forwarding looks into no payload; what a codec needs is its lines in the SDP."""

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

    @property
    def rtpmap(self) -> str:
        """What follows the payload type in ``a=rtpmap``."""
        return f"{self.name}/{self.clock_rate}" + (f"/{self.channels}" if self.channels else "")


CODECS = {
    "opus": Codec("audio", "opus", 48000, 2, "minptime=10;useinbandfec=1", (), 111, None),
    "VP8": Codec("video", "VP8", 90000, None, "", ("ccm fir", "nack", "nack pli"), 96, 97),
}

"""A published track: what comes in is counted, repaired, kept for repairs, and forwarded."""

from typing import Protocol

from services.edge_gateway.media.history import History
from services.edge_gateway.media.interface import Track
from services.edge_gateway.media.reception import Reception
from services.edge_gateway.media.rtcp import ReportBlock, SenderReport, nack, picture_loss
from services.edge_gateway.media.rtp import Packet, restore
from services.edge_gateway.media.sdp import OfferedTrack

_KEY_FRAME_INTERVAL = 0.5
"""Seconds between requests: a key frame is large, and many subscribers ask at once."""
_REPORT_INTERVAL = 0.1
"""Seconds between sender reports that are passed on: each goes to every subscriber. Browsers send one or two a second."""


class RtcpSender(Protocol):
    """The peer connection of a publisher, as far as its tracks know it."""

    def send_rtcp(self, data: bytes) -> None:
        """Send an RTCP packet to the publisher."""
        ...


class Listener(Protocol):
    """What a track forwards to."""

    def forward(self, packet: Packet) -> None:
        """Send a packet on."""
        ...

    def report(self, report: SenderReport) -> None:
        """Send a sender report on."""
        ...


class PublishedTrack:
    """One track of a publisher.

    Args:
        track: its id and kind.
        stream: the name of what is played in step with it.
        offered: what the publisher's SDP says of it.
        publisher: where feedback goes.
        sender: the SSRC of our feedback.
    """

    def __init__(self, track: Track, stream: str, offered: OfferedTrack, publisher: RtcpSender, sender: int) -> None:
        self.track = track
        self.stream = stream
        self.codec = offered.codec
        self.offered = offered
        self.last_report: SenderReport | None = None
        self._publisher = publisher
        self._sender = sender
        self._repaired = bool(offered.codec.feedback)
        self._reception = Reception(offered.codec.clock_rate)
        self._history = History() if self._repaired else None
        self._listeners: dict[Listener, None] = {}
        self._reported = float("-inf")
        self._key_frame_asked = float("-inf")
        self._key_frame_wanted = False

    def add(self, listener: Listener, now: float) -> None:
        """Forward to a listener from now on; it can show nothing before a key frame."""
        if listener not in self._listeners:
            self._listeners[listener] = None
            self.request_key_frame(now)

    def remove(self, listener: Listener) -> None:
        """Forward to a listener no more; harmless twice."""
        self._listeners.pop(listener, None)

    def close(self) -> None:
        """Forward to nobody any more, and send nothing again."""
        self._listeners.clear()
        self._history = None

    def on_packet(self, packet: Packet, now: float) -> None:
        """Take a packet that came with the track's SSRC."""
        if packet.payload_type == self.offered.payload_type:
            self._accept(packet, now)

    def on_retransmission(self, packet: Packet, now: float) -> None:
        """Take a packet that came with the SSRC of the track's retransmissions."""
        if packet.payload_type != self.offered.rtx_payload_type:
            return
        restored = restore(packet, self.offered.ssrc, self.offered.payload_type)
        if restored is not None and self._reception.awaits(restored.sequence):
            self._accept(restored, now)

    def _accept(self, packet: Packet, now: float) -> None:
        if not self._reception.accept(packet.sequence, packet.timestamp, now):
            return
        if self._history is not None:
            self._history.keep(packet)
        for listener in self._listeners:
            listener.forward(packet)
        if self._repaired:
            self._ask_for_missing(now)

    def _ask_for_missing(self, now: float) -> None:
        missing = self._reception.missing(now)
        if missing:
            self._publisher.send_rtcp(nack(self._sender, self.offered.ssrc, missing))

    def find(self, sequence: int) -> Packet | None:
        """Return a packet that was forwarded not long ago, by the publisher's sequence number."""
        return self._history.find(sequence) if self._history is not None else None

    def request_key_frame(self, now: float) -> None:
        """Ask the publisher for a key frame, now or, if it was asked just now, at a later tick."""
        self._key_frame_wanted = self.codec.kind == "video"
        self._ask_for_key_frame(now)

    def _ask_for_key_frame(self, now: float) -> None:
        if self._key_frame_wanted and now - self._key_frame_asked >= _KEY_FRAME_INTERVAL:
            self._key_frame_wanted = False
            self._key_frame_asked = now
            self._publisher.send_rtcp(picture_loss(self._sender, self.offered.ssrc))

    def on_sender_report(self, report: SenderReport, now: float) -> None:
        """Take the publisher's report, and pass it on."""
        self._reception.sender_report(report.ntp, now)
        self.last_report = report
        if now - self._reported < _REPORT_INTERVAL:
            return
        self._reported = now
        for listener in self._listeners:
            listener.report(report)

    def tick(self, now: float) -> None:
        """Repeat what was asked for and did not come; to be called some times a second."""
        if self._repaired:
            self._ask_for_missing(now)
        self._ask_for_key_frame(now)

    def report(self, now: float) -> ReportBlock | None:
        """Say what arrived since the last report."""
        return self._reception.report(self.offered.ssrc, now)

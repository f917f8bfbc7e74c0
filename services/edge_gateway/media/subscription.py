"""A track on its way to one subscriber: numbers of its own, repairs, and reports."""

import secrets
from typing import Protocol

from services.edge_gateway.media.rtcp import SenderReport, sender_report, source_description
from services.edge_gateway.media.rtp import Packet, Retransmitter, Rewriter
from services.edge_gateway.media.track import PublishedTrack


class RtpSender(Protocol):
    """The peer connection of a subscriber, as far as its subscriptions know it."""

    def send_rtp(self, length: int) -> None:
        """Send the packet in the shared buffer."""
        ...

    def send_rtcp(self, data: bytes) -> None:
        """Send an RTCP packet to the subscriber."""
        ...


class Subscription:
    """One track for one subscriber.

    Args:
        source: the track.
        subscriber: where it goes.
        out: the memory that ``subscriber.send_rtp`` sends from.
        ssrc: the stream's, unique for the subscriber.
        rtx_ssrc: its retransmissions', likewise; none, the codec has none.
    """

    def __init__(self, source: PublishedTrack, subscriber: RtpSender, out: memoryview, ssrc: int, rtx_ssrc: int | None) -> None:
        self.source = source
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self._subscriber = subscriber
        self._out = out
        self._rewriter = Rewriter(ssrc, source.codec.payload_type)
        self._rtx: Retransmitter | None = None
        self._packets = 0
        self._octets = 0

    def negotiate(self, *, rtx: bool, extensions: bool) -> None:
        """Take what the client answered: whether it knows our retransmissions, and our header extensions."""
        self._rewriter.extensions = extensions
        if not rtx or self.rtx_ssrc is None or self.source.codec.rtx_payload_type is None:
            self._rtx = None
        elif self._rtx is None:
            self._rtx = Retransmitter(self.rtx_ssrc, self.source.codec.rtx_payload_type, secrets.randbelow(0x8000))

    def forward(self, packet: Packet) -> None:
        """Send a packet on."""
        if not self._rewriter.started:
            self._start(packet)
        self._subscriber.send_rtp(self._rewriter.write(self._out, packet))
        self._packets += 1
        self._octets += len(packet.payload)

    def _start(self, packet: Packet) -> None:
        self._rewriter.start(packet, secrets.randbelow(0x7000) + 0x1000, secrets.randbits(32))
        # The next report may be seconds away, and without one the browser cannot play sound and picture in step.
        if self.source.last_report is not None:
            self.report(self.source.last_report)

    def report(self, report: SenderReport) -> None:
        """Send a sender report on, translated to this stream."""
        if self._rewriter.started:
            translated = SenderReport(self.ssrc, report.ntp, self._rewriter.timestamp(report.timestamp))
            description = source_description(self.ssrc, self.source.stream)
            self._subscriber.send_rtcp(sender_report(translated, self._packets, self._octets) + description)

    def repair(self, sequences: tuple[int, ...]) -> None:
        """Send packets again that the subscriber misses, as far as they are still there.

        Args:
            sequences: numbers of this stream.
        """
        if not self._rewriter.started:
            return
        for sequence in sequences:
            packet = self.source.find(self._rewriter.original(sequence))
            if packet is None:
                continue
            if self._rtx is not None:
                self._subscriber.send_rtp(self._rewriter.write_again(self._out, packet, self._rtx))
            else:
                self._subscriber.send_rtp(self._rewriter.write(self._out, packet))

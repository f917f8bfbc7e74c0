"""A track on its way to one subscriber: numbers of its own, repairs, and reports."""

import secrets

from services.edge_gateway.media.delivery import Delivery
from services.edge_gateway.media.forwarding import Link
from services.edge_gateway.media.measures import Traffic
from services.edge_gateway.media.rtcp import SenderReport, sender_report, source_description
from services.edge_gateway.media.rtp import Packet, Retransmitter, Rewriter, write
from services.edge_gateway.media.track import PublishedTrack


class Subscription:
    """One track for one subscriber.

    Args:
        source: the track.
        subscriber: where it goes.
        out: the memory that ``subscriber.send_rtp`` sends from.
        ssrc: the stream's, unique for the subscriber.
        rtx_ssrc: its retransmissions', likewise; none, the codec has none.
    """

    def __init__(self, source: PublishedTrack, subscriber: Link, out: memoryview, ssrc: int, rtx_ssrc: int | None) -> None:
        self.source = source
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self._subscriber = subscriber
        self._out = out
        self.stream = subscriber.send_stream(ssrc, source.codec.payload_type)
        self._rewriter = Rewriter(self.stream)
        self._rtx: Retransmitter | None = None
        self.delivery = Delivery()

    def negotiate(self, *, rtx: bool, extensions: bool) -> None:
        """Take what the client answered: whether it knows our retransmissions, and our header extensions."""
        self.stream.extensions = extensions
        if not rtx or self.rtx_ssrc is None or self.source.codec.rtx_payload_type is None:
            self._rtx = None
        elif self._rtx is None:
            self._rtx = Retransmitter(self.rtx_ssrc, self.source.codec.rtx_payload_type, secrets.randbelow(0x8000))

    def start(self, packet: Packet, now: float) -> None:
        """Give the stream its numbers, of which this packet is the first."""
        if self.stream.started:
            return
        self._rewriter.start(packet, secrets.randbelow(0x7000) + 0x1000, secrets.randbits(32))
        # The next report may be seconds away, and without one the browser cannot play sound and picture in step.
        if self.source.last_report is not None:
            self.report(self.source.last_report, now)

    def skip(self, count: int) -> None:
        """Leave no gap for so many packets of the track that were not forwarded."""
        self._rewriter.skip(count)

    @property
    def octets(self) -> int:
        """Of payload, sent for the first time."""
        return self.stream.octets

    def traffic(self) -> Traffic:
        """Say what was sent so far."""
        return self.delivery.traffic(self.stream.packets, self.stream.octets)

    def begin(self, now: float) -> None:
        """Forward from now on; harmless twice."""
        self.source.add(self, now)

    def end(self) -> None:
        """Forward no more; harmless twice."""
        self.source.remove(self)

    def request_key_frame(self, now: float) -> None:
        """Ask for a key frame of what is sent."""
        self.source.request_key_frame(now)

    def report(self, report: SenderReport, now: float) -> None:
        """Send a sender report on, translated to this stream."""
        if self.stream.started:
            self.delivery.reported(report.ntp, now)
            translated = SenderReport(self.ssrc, report.ntp, self._rewriter.timestamp(report.timestamp))
            description = source_description(self.ssrc, self.source.stream)
            self._subscriber.send_rtcp(sender_report(translated, self.stream.packets, self.stream.octets) + description)

    def repair(self, sequences: tuple[int, ...]) -> None:
        """Send packets again that the subscriber misses, as far as they are still there.

        Args:
            sequences: numbers of this stream.
        """
        if not self.stream.started:
            return
        for sequence in sequences:
            packet = self.source.find(self._rewriter.original(sequence))
            if packet is None:
                continue
            self.delivery.repairs += 1
            if self._rtx is not None:
                self._subscriber.send_rtp(self._rewriter.write_again(self._out, packet, self._rtx))
            else:
                self._subscriber.send_rtp(write(self._out, packet, self.stream))

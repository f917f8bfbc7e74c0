"""A track in layers on its way to one subscriber: one stream without a seam, whichever layer it is made of."""

import secrets
from collections import deque

from services.edge_gateway.media import key_frames, vp8
from services.edge_gateway.media.delivery import Delivery
from services.edge_gateway.media.forwarding import Link
from services.edge_gateway.media.layered_track import LayeredTrack
from services.edge_gateway.media.measures import Traffic
from services.edge_gateway.media.rid import Layer
from services.edge_gateway.media.rtcp import SenderReport, sender_report, source_description
from services.edge_gateway.media.rtp import Packet, Retransmitter, Rewriter, write
from services.edge_gateway.media.splice import following_timestamp, same_moment
from services.edge_gateway.media.streams import PlainSendStream
from services.edge_gateway.media.track import PublishedTrack

_KEPT = 3.0
"""Seconds that a piece of before can be repaired: its layer's numbers must not come round meanwhile."""
_ASK_AGAIN = 1.0
"""Seconds without a key frame after which another is asked for."""


class _Piece:
    """A part of the outgoing stream that one layer makes, from a key frame on."""

    __slots__ = ("_highest", "_start", "ended", "last", "layer", "rewriter", "shift", "span")

    def __init__(self, layer: PublishedTrack, rewriter: Rewriter, first: Packet, sequence: int, shift: vp8.Shift) -> None:
        self.layer = layer
        self.rewriter = rewriter
        self._start = sequence
        self._highest = first.sequence
        self.shift = shift
        """Of VP8's numbers."""
        self.last = first
        """The packet with the highest number."""
        self.span = 0
        """So many numbers it has beyond the first."""
        self.ended: float | None = None

    def take(self, packet: Packet) -> bool:
        """Note a packet of the layer; False for one from before the piece, whose number is another's."""
        ahead = (packet.sequence - self._highest) & 0xFFFF
        if ahead < 0x8000:
            self.span += ahead
            self._highest = packet.sequence
            self.last = packet
            return True
        return 0x10000 - ahead <= self.span

    def skip(self, count: int) -> None:
        """Go on without a gap behind so many numbers of the layer that were not forwarded."""
        self.rewriter.skip(count)
        self._highest = (self._highest + count) & 0xFFFF

    @property
    def end(self) -> int:
        """The highest number in the outgoing stream."""
        return (self._start + self.span) & 0xFFFF


class LayeredSubscription:
    """One track in layers for one subscriber. It goes over to another layer at a key frame of that.

    Args:
        source: the track.
        subscriber: where it goes.
        out: the memory that ``subscriber.send_rtp`` sends from.
        ssrc: the stream's, unique for the subscriber.
        rtx_ssrc: its retransmissions', likewise; none, the codec has none.
    """

    def __init__(self, source: LayeredTrack, subscriber: Link, out: memoryview, ssrc: int, rtx_ssrc: int | None) -> None:
        self.source = source
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.wanted: Layer = "big"
        self._subscriber = subscriber
        self._out = out
        self._is_vp8 = source.codec.name == "VP8"
        self._rtx: Retransmitter | None = None
        self._piece: _Piece | None = None
        self._former: deque[_Piece] = deque()
        self._target: PublishedTrack | None = None
        self._asked = float("-inf")
        self._packets = 0
        self.delivery = Delivery()
        self.octets = 0
        """Of payload, sent for the first time."""

    def traffic(self) -> Traffic:
        """Say what was sent so far."""
        return self.delivery.traffic(self._packets, self.octets)

    def negotiate(self, *, rtx: bool, extensions: bool) -> None:  # noqa: ARG002 -- video has none
        """Take what the client answered: whether it knows our retransmissions."""
        if not rtx or self.rtx_ssrc is None or self.source.codec.rtx_payload_type is None:
            self._rtx = None
        elif self._rtx is None:
            self._rtx = Retransmitter(self.rtx_ssrc, self.source.codec.rtx_payload_type, secrets.randbelow(0x8000))

    def begin(self, now: float) -> None:
        """Forward from now on; harmless twice."""
        self.source.add(self, now)

    def end(self) -> None:
        """Forward no more; harmless twice."""
        self.source.remove(self)

    def want(self, layer: Layer, now: float) -> None:
        """Choose a layer."""
        self.wanted = layer
        self.source.direct(self, now)

    @property
    def layer(self) -> PublishedTrack | None:
        """What it is made of now."""
        return None if self._piece is None else self._piece.layer

    def follow(self, layer: PublishedTrack, now: float) -> None:
        """Go over to a layer as soon as it has a key frame; harmless where it is there, or on the way."""
        if layer is self._target:
            if now - self._asked >= _ASK_AGAIN:
                self._asked = now
                layer.request_key_frame(now)
            return
        self._give_up_target()
        layer.tap(self, now)
        if layer is not self.layer:
            self._target, self._asked = layer, now

    def _give_up_target(self) -> None:
        if self._target is not None and self._target is not self.layer:
            self._target.untap(self)
        self._target = None

    def leave(self) -> None:
        """Follow none any more."""
        self._give_up_target()
        if self._piece is not None:
            self._piece.layer.untap(self)

    def request_key_frame(self, now: float) -> None:
        """Ask for a key frame of what is sent."""
        layer = self._target or self.layer
        if layer is not None:
            layer.request_key_frame(now)

    def skip(self, layer: PublishedTrack, count: int) -> None:
        """Leave no gap for so many packets of a layer that were not forwarded."""
        if layer is self.layer and self._piece is not None:
            self._piece.skip(count)

    def forward(self, packet: Packet, now: float) -> None:
        """Send a packet on, if it is of the layer that is followed."""
        piece = self._piece
        if piece is None or packet.ssrc != piece.layer.offered.ssrc:
            if (
                self._target is None
                or packet.ssrc != self._target.offered.ssrc
                or not key_frames.starts(self.source.codec.name, packet.payload)
            ):
                return
            piece = self._switch(self._target, packet, now)
        elif not piece.take(packet):
            return
        length = write(self._out, packet, piece.rewriter.stream)
        self._send(length, packet, piece)
        self._packets += 1
        self.octets += len(packet.payload)

    def _send(self, length: int, packet: Packet, piece: _Piece) -> None:
        if self._is_vp8:
            vp8.move(self._out, length - len(packet.payload), packet.payload, piece.shift)
        self._subscriber.send_rtp(length)

    def _switch(self, layer: PublishedTrack, first: Packet, now: float) -> _Piece:
        """Begin a piece with the first packet of a key frame."""
        before, self._target = self._piece, None
        sequence, timestamp, shift = secrets.randbelow(0x7000) + 0x1000, secrets.randbits(32), vp8.Shift()
        if before is not None:
            sequence = (before.end + 1) & 0xFFFF
            last = before.rewriter.timestamp(before.last.timestamp)
            timestamp = following_timestamp(last, self._aligned(before, layer, first), self.source.codec.clock_rate)
            shift = vp8.shift_to_follow(before.last.payload, before.shift, first.payload)
            self._former.append(before)
            before.layer.untap(self)
        rewriter = Rewriter(PlainSendStream(self._subscriber, self.ssrc, self.source.codec.payload_type))
        rewriter.start(first, sequence, timestamp)
        self._piece = _Piece(layer, rewriter, first, sequence, shift)
        # The next report may be seconds away, and without one the browser cannot play sound and picture in step.
        if layer.last_report is not None:
            self.report(layer.last_report, now)
        return self._piece

    def _aligned(self, before: _Piece, layer: PublishedTrack, first: Packet) -> int | None:
        """Translate the timestamp of the new layer's frame to what it would have in the piece that ends."""
        clock, other = layer.last_report, before.layer.last_report
        if clock is None or other is None:
            return None
        return before.rewriter.timestamp(same_moment(first.timestamp, clock, other, self.source.codec.clock_rate))

    def report(self, report: SenderReport, now: float) -> None:
        """Send a sender report of the layer that is followed on, translated to this stream."""
        if self._piece is not None and report.ssrc == self._piece.layer.offered.ssrc:
            self.delivery.reported(report.ntp, now)
            translated = SenderReport(self.ssrc, report.ntp, self._piece.rewriter.timestamp(report.timestamp))
            description = source_description(self.ssrc, self.source.stream)
            self._subscriber.send_rtcp(sender_report(translated, self._packets, self.octets) + description)

    def repair(self, sequences: tuple[int, ...]) -> None:
        """Send packets again that the subscriber misses, as far as they are still there.

        Args:
            sequences: numbers of this stream.
        """
        for sequence in sequences:
            piece = self._piece_of(sequence)
            packet = None if piece is None else piece.layer.find(piece.rewriter.original(sequence))
            if piece is None or packet is None:
                continue
            self.delivery.repairs += 1
            if self._rtx is None:
                length = write(self._out, packet, piece.rewriter.stream)
            else:
                length = piece.rewriter.write_again(self._out, packet, self._rtx)
            self._send(length, packet, piece)

    def _piece_of(self, sequence: int) -> _Piece | None:
        """Find the piece that has a number of this stream."""
        if self._piece is None:
            return None
        back = (self._piece.end - sequence) & 0xFFFF
        for piece in (self._piece, *reversed(self._former)):
            if back <= piece.span:
                return piece
            back -= piece.span + 1
        return None

    def tick(self, now: float) -> None:
        """Let go of pieces that cannot be repaired any more."""
        for piece in self._former:
            piece.ended = piece.ended or now
        while self._former and now - (self._former[0].ended or now) > _KEPT:
            self._former.popleft()

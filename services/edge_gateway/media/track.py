"""A published track: what comes in is counted, repaired, kept for repairs, and forwarded."""

from collections.abc import Mapping
from typing import Protocol

from services.edge_gateway.media import key_frames
from services.edge_gateway.media.forwarding import Link, SendStream
from services.edge_gateway.media.interface import Track
from services.edge_gateway.media.measures import Traffic
from services.edge_gateway.media.reception import Reception
from services.edge_gateway.media.rtcp import ReportBlock, SenderReport, nack, picture_loss
from services.edge_gateway.media.rtp import Packet, restore
from services.edge_gateway.media.sdp import OfferedTrack

_KEY_FRAME_INTERVAL = 0.5
"""Seconds between requests: a key frame is large, and many subscribers ask at once."""
_REPORT_INTERVAL = 0.1
"""Seconds between sender reports that are passed on: each goes to every subscriber. Browsers send one or two a second."""


class Listener(Protocol):
    """What a track forwards to."""

    @property
    def stream(self) -> SendStream:
        """Where its packets go."""
        ...

    def start(self, packet: Packet, now: float) -> None:
        """Give the stream its numbers, of which this packet is the first."""
        ...

    def skip(self, count: int) -> None:
        """Leave no gap for so many packets that were not forwarded."""
        ...

    def report(self, report: SenderReport, now: float) -> None:
        """Send a sender report on."""
        ...


class Tap(Protocol):
    """Who is handed every packet, to write something else of it."""

    def forward(self, packet: Packet, now: float) -> None:
        """Take a packet."""
        ...

    def skip(self, layer: "PublishedTrack", count: int) -> None:
        """Leave no gap for so many packets of a track that were not forwarded."""
        ...

    def report(self, report: SenderReport, now: float) -> None:
        """Send a sender report on."""
        ...


class PublishedTrack:
    """One track of a publisher.

    Args:
        track: its id and kind.
        stream: the name of what is played in step with it.
        offered: what the publisher's SDP says of it.
        publisher: where packets come from, and feedback goes.
        extension_ids: the header extensions to forward: the publisher's number to ours.
        sender: the SSRC of our feedback.
    """

    def __init__(
        self, track: Track, stream: str, offered: OfferedTrack, publisher: Link, *, extension_ids: Mapping[int, int], sender: int
    ) -> None:
        self.track = track
        self.stream = stream
        self.codec = offered.codec
        self.offered = offered
        self.last_report: SenderReport | None = None
        self._publisher = publisher
        self._sender = sender
        self._repaired = bool(offered.codec.feedback)
        clock_rate = offered.codec.clock_rate
        self._received = publisher.receive_stream(offered.ssrc, offered.payload_type, clock_rate, extension_ids, keep=self._repaired)
        self._reception = Reception(clock_rate, self._received.counts)
        self._listeners: dict[Listener, None] = {}
        self._taps: dict[Tap, None] = {}
        self._waiting: dict[Listener, None] = {}  # for the next packet, which starts them
        self._reported = float("-inf")
        self._key_frame_asked = float("-inf")
        self._key_frame_wanted = False
        self._nacks = 0
        self._key_frame_requests = 0
        self._repairs = 0
        self._muted = False
        self._held_behind: int | None = None
        """The extended number of the last packet that was forwarded; None, packets are forwarded."""
        self._findable_behind = -1
        """Packets up to that extended number have other numbers at the subscribers than they would be given now."""

    def add(self, listener: Listener, now: float) -> None:
        """Forward to a listener from now on; it can show nothing before a key frame."""
        if listener not in self._listeners:
            self._listeners[listener] = None
            self._waiting[listener] = None
            self._look_up()
            self.request_key_frame(now)

    def remove(self, listener: Listener) -> None:
        """Forward to a listener no more; harmless twice."""
        self._listeners.pop(listener, None)
        self._waiting.pop(listener, None)
        self._received.remove(listener.stream)

    def tap(self, tap: Tap, now: float) -> None:
        """Hand every packet over from now on."""
        if tap not in self._taps:
            self._taps[tap] = None
            self._look_up()
            self.request_key_frame(now)

    def untap(self, tap: Tap) -> None:
        """Hand nothing over any more; harmless twice."""
        self._taps.pop(tap, None)
        self._look_up()

    def _look_up(self) -> None:
        """Have the engine hand packets up as long as somebody here needs them."""
        self._received.counts.upward = bool(self._waiting or self._taps or self._held_behind is not None)

    @property
    def packets(self) -> int:
        """How many have come, each counted once."""
        return self._received.counts.received

    def traffic(self) -> Traffic:
        """Say what has come so far."""
        counts = self._received.counts
        return Traffic(
            packets=counts.received,
            octets=counts.octets,
            lost=self._reception.lost,
            nacks=self._nacks,
            key_frame_requests=self._key_frame_requests,
            repairs=self._repairs,
        )

    @property
    def jitter(self) -> float:
        """In seconds."""
        return self._received.counts.jitter / self.codec.clock_rate

    def mute(self, now: float, *, muted: bool) -> None:
        """Forward nothing, or forward again; harmless twice.

        A picture goes on with a key frame, for a decoder that finds no gap would build on what it was not sent.
        """
        self._muted = muted
        if muted and self._held_behind is None:
            self._held_behind = self._received.counts.highest
            self._look_up()
        elif not muted and self._held_behind is not None:
            if self.codec.kind == "audio":
                self._go_on(self._held_behind, self._received.counts.highest)
            self.request_key_frame(now)

    def _resumes(self, packet: Packet) -> bool:
        """Tell whether packets are forwarded from this one on, after a mute."""
        last, number = self._held_behind, self._reception.extended(packet.sequence)
        # One from before the mute, late: its place is not after it.
        if last is None or self._muted or number <= last or not key_frames.starts(self.codec.name, packet.payload):
            return False
        self._go_on(last, number - 1)
        return True

    def _go_on(self, last: int, skipped: int) -> None:
        """Forward again, so that the packet after ``skipped`` has the number that follows that of ``last``.

        What is older stays where it is: its number would be one that the subscribers have had.
        """
        for listener in self._listeners:
            listener.skip(skipped - last)
        for tap in self._taps:
            tap.skip(self, skipped - last)
        self._reception.give_up()
        self._held_behind, self._findable_behind = None, skipped
        self._look_up()

    def close(self) -> None:
        """Forward to nobody any more, and send nothing again."""
        self._listeners.clear()
        self._waiting.clear()
        self._taps.clear()
        self._received.close()

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
            self._repairs += 1
            self._accept(restored, now)

    def _accept(self, packet: Packet, now: float) -> None:
        if not self._reception.accept(packet.sequence, packet.timestamp, now):
            return
        self._received.counts.octets += len(packet.payload)
        if self._held_behind is not None and not self._resumes(packet):
            return
        if self._waiting:
            self._start_waiting(packet, now)
        self._received.forward(packet)
        for tap in tuple(self._taps):
            tap.forward(packet, now)
        if self._listeners or self._taps:
            self._publisher.forwarded()
        if self._repaired:
            self._ask_for_missing(now)

    def _start_waiting(self, packet: Packet, now: float) -> None:
        for listener in self._waiting:
            listener.start(packet, now)
            self._received.add(listener.stream)
        self._waiting.clear()
        self._look_up()

    def _ask_for_missing(self, now: float) -> None:
        missing = self._reception.missing(now)
        if missing:
            self._nacks += len(missing)
            self._publisher.send_rtcp(nack(self._sender, self.offered.ssrc, missing))

    def find(self, sequence: int) -> Packet | None:
        """Return a packet that was forwarded not long ago, by the publisher's sequence number."""
        if self._reception.extended(sequence) <= self._findable_behind:
            return None
        return self._received.find(sequence)

    def request_key_frame(self, now: float) -> None:
        """Ask the publisher for a key frame, now or, if it was asked just now, at a later tick."""
        self._key_frame_wanted = self.codec.kind == "video"
        self._ask_for_key_frame(now)

    def _ask_for_key_frame(self, now: float) -> None:
        if self._key_frame_wanted and now - self._key_frame_asked >= _KEY_FRAME_INTERVAL:
            self._key_frame_wanted = False
            self._key_frame_asked = now
            self._key_frame_requests += 1
            self._publisher.send_rtcp(picture_loss(self._sender, self.offered.ssrc))

    def on_sender_report(self, report: SenderReport, now: float) -> None:
        """Take the publisher's report, and pass it on."""
        self._reception.sender_report(report.ntp, now)
        self.last_report = report
        if now - self._reported < _REPORT_INTERVAL:
            return
        self._reported = now
        for listener in self._listeners:
            listener.report(report, now)
        for tap in self._taps:
            tap.report(report, now)

    def tick(self, now: float) -> None:
        """Repeat what was asked for and did not come; to be called some times a second."""
        if self._held_behind is not None:
            self._key_frame_wanted = self.codec.kind == "video" and not self._muted
        elif self._repaired:
            self._ask_for_missing(now)
        self._ask_for_key_frame(now)

    def report(self, now: float) -> ReportBlock | None:
        """Say what arrived since the last report."""
        return self._reception.report(self.offered.ssrc, now)

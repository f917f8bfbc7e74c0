"""A session's subscribing peer connection: what it wants, the offers that say so, and the answers."""

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import structlog

from services.edge_gateway.media.bandwidth import Downlink, Second
from services.edge_gateway.media.interface import Connection, MediaRefusedError, Offer
from services.edge_gateway.media.layered_subscription import LayeredSubscription
from services.edge_gateway.media.layered_track import LayeredTrack
from services.edge_gateway.media.lines import Line, Lines
from services.edge_gateway.media.measures import LINE_SECONDS, Measures, Meter, Traffic
from services.edge_gateway.media.peer import Peer, PeerUser
from services.edge_gateway.media.rtcp import (
    MAX_NACKED,
    BitrateEstimate,
    Feedback,
    KeyFrameRequest,
    MalformedRtcpError,
    Nack,
    ReportBlock,
    parse,
)
from services.edge_gateway.media.sdp import Answer, AnsweredLine, read_answer
from services.edge_gateway.media.sdp_writer import CHANNEL_MID, LocalTransport, OfferedLine, SentStream, write_offer
from services.edge_gateway.media.subscription import Subscription
from services.edge_gateway.media.track import PublishedTrack

log = structlog.get_logger()

_REPAIRS_A_SECOND = 1000
"""Packets that are looked for on request, found or not: more than a line that works needs, less than an amplifier gives."""


@dataclass(frozen=True, slots=True)
class _OpenOffer:
    number: int
    lines: tuple[Line, ...]
    rejected: frozenset[str]


class Subscriber:
    """What one session receives. It is a :class:`~services.edge_gateway.media.peer.PeerUser`.

    Args:
        session: whose it is.
        connect: makes the peer connection.
        describe: says where it is.
        out: the memory that packets are sent from.
        max_lines: m-lines of the peer connection.
        measures: where it is counted what it receives.
    """

    connection: Connection = "subscribe"
    ssrcs: Collection[int] = frozenset()

    def __init__(
        self,
        session: str,
        connect: Callable[[str, PeerUser], Peer],
        describe: Callable[[Peer], LocalTransport],
        out: memoryview,
        max_lines: int,
        *,
        measures: Measures,
    ) -> None:
        self.session = session
        self.peer = connect(session, self)
        self._describe = describe
        self._out = out
        self._max_lines = max_lines
        self._sdp_session = secrets.randbits(62)
        self._lines = Lines(max_lines)
        self._sources: dict[str, PublishedTrack | LayeredTrack] = {}
        self._subscriptions: dict[str, Subscription | LayeredSubscription] = {}
        self._negotiated: set[str] = set()
        self._by_ssrc: dict[int, Subscription | LayeredSubscription] = {}
        self._small: AbstractSet[str] = frozenset()
        self._line = Downlink()
        self._loss: float | None = None
        self._sent_before = 0
        self._open: _OpenOffer | None = None
        self._restarted = False
        self._number = 0
        self._measures = measures
        self._meter = Meter(measures.sent)
        self._repairs = 0
        self._repairs_since = float("-inf")

    def prefer(self, small: AbstractSet[str], now: float) -> None:
        """Receive the small picture of these tracks, and the big one of others, as far as the line allows."""
        self._small = small
        for track, subscription in self._subscriptions.items():
            if isinstance(subscription, LayeredSubscription):
                subscription.want("small" if self._line.short or track in small else "big", now)

    def look_at_line(self, now: float) -> None:
        """See whether the line takes what is sent; to be called each second."""
        sent = 8 * sum(subscription.octets for subscription in self._subscriptions.values())
        second = Second(self._loss, max(0, sent - self._sent_before))
        self._loss, self._sent_before = None, sent
        if self._line.look(second, now):
            log.info("media_line", session=self.session, short=self._line.short)
            self.prefer(self._small, now)

    @property
    def wanted(self) -> int:
        """How many tracks it receives, or is about to."""
        return len(self._sources)

    @property
    def carried(self) -> Traffic:
        """All that was sent, as it was counted last."""
        return self._meter.total

    def count(self) -> None:
        """Count what was sent; to be called every few seconds."""
        for subscription in self._subscriptions.values():
            self._meter.count(subscription.ssrc, subscription.source.codec.kind, subscription.traffic())

    def want(self, sources: Mapping[str, PublishedTrack | LayeredTrack]) -> bool:
        """Receive exactly these tracks; what is not among them stops at once.

        Returns:
            Whether an offer is due.
        """
        for track in [track for track in self._subscriptions if track not in sources]:
            self._end(track)
        self._remember(sources)
        self._lines.want({track: source.codec for track, source in sources.items()})
        return self._lines.changed

    def _remember(self, sources: Mapping[str, PublishedTrack | LayeredTrack]) -> None:
        self._measures.subscriptions += len(sources) - len(self._sources)
        self._sources = dict(sources)

    def lose(self, tracks: AbstractSet[str]) -> bool:
        """Receive all but these tracks.

        Returns:
            Whether an offer is due.
        """
        if self._sources.keys().isdisjoint(tracks):
            return False
        return self.want({track: source for track, source in self._sources.items() if track not in tracks})

    def _end(self, track: str) -> None:
        subscription = self._subscriptions.pop(track)
        subscription.end()
        self._meter.count(subscription.ssrc, subscription.source.codec.kind, subscription.traffic())
        self._meter.end(subscription.ssrc)
        self._negotiated.discard(track)
        del self._by_ssrc[subscription.ssrc]
        self.peer.forget(subscription.ssrc)
        if subscription.rtx_ssrc is not None:
            self.peer.forget(subscription.rtx_ssrc)

    def restart(self) -> None:
        """Have the client look for a new way here; an offer is due, which says so."""
        self.peer.restart()
        self._restarted = True

    def make_offer(self) -> Offer | None:
        """Offer what has changed; nothing while another offer is open."""
        if self._open is not None or not (self._lines.changed or self._restarted):
            return None
        self._restarted = False
        lines = self._lines.lay_out()
        for line in lines:
            if line.track is not None and line.track not in self._subscriptions:
                self._begin(self._sources[line.track])
        self._number += 1
        self._open = _OpenOffer(self._number, lines, frozenset(line.mid for line in lines if line.rejected))
        offered = [OfferedLine(line.mid, line.codec, self._sent(line), line.rejected) for line in lines]
        sdp = write_offer(offered, self._describe(self.peer), self._sdp_session, self._number)
        return Offer(self.session, self._number, sdp, {line.mid: line.track for line in lines if line.track is not None})

    def _begin(self, source: PublishedTrack | LayeredTrack) -> None:
        ssrc = self._free_ssrc()
        rtx_ssrc = self._free_ssrc() if source.codec.rtx_payload_type is not None else None
        subscription: Subscription | LayeredSubscription
        if isinstance(source, LayeredTrack):
            subscription = LayeredSubscription(source, self.peer.link, self._out, ssrc, rtx_ssrc)
            subscription.wanted = "small" if self._line.short or source.track.id in self._small else "big"
        else:
            subscription = Subscription(source, self.peer.link, self._out, ssrc, rtx_ssrc)
        self._subscriptions[source.track.id] = subscription
        self._by_ssrc[ssrc] = subscription

    def _free_ssrc(self) -> int:
        taken = {subscription.rtx_ssrc for subscription in self._subscriptions.values()} | self._by_ssrc.keys()
        while (ssrc := secrets.randbits(32)) in taken:
            pass
        return ssrc

    def _sent(self, line: Line) -> SentStream | None:
        if line.track is None:
            return None
        subscription = self._subscriptions[line.track]
        return SentStream(subscription.source.stream, line.track, subscription.ssrc, subscription.rtx_ssrc)

    def answer(self, number: int, sdp: str) -> bool:
        """Take the answer to the open offer.

        Returns:
            Whether another offer is due.

        Raises:
            MediaRefusedError: that offer is not open, or the answer cannot be served.
        """
        if self._open is None or self._open.number != number:
            raise MediaRefusedError("invalid_state", f"offer {number} is not open")
        answer = read_answer(sdp, self._max_lines + 1)
        self._check(answer, self._open)
        opened, self._open = self._open, None
        self._lines.answered(opened.lines)
        answered_lines = {line.mid: line for line in answer.lines}
        for line in opened.lines:
            if line.track is not None and line.track in self._subscriptions:
                self._negotiate(line, answered_lines[line.mid])
        if self.peer.remote is None:
            self.peer.expect(answer.fingerprints)
        if answer.channel_port is not None:
            self.peer.expect_channel(answer.channel_port)
        return self._lines.changed or self._restarted

    def _check(self, answer: Answer, offer: _OpenOffer) -> None:
        first, *others = [line.mid for line in offer.lines]
        if [line.mid for line in answer.lines] != [first, CHANNEL_MID, *others]:
            raise MediaRefusedError("unsupported_media", "the answer's m-lines are not the offer's")
        if any(not line.rejected and line.mid in offer.rejected for line in answer.lines):
            raise MediaRefusedError("unsupported_media", "the answer accepts an m-line that was offered with port 0")
        if self.peer.remote is not None and answer.fingerprints != self.peer.remote:
            raise MediaRefusedError("unsupported_media", "the certificate of a peer connection cannot change")

    def _negotiate(self, line: Line, answered: AnsweredLine) -> None:
        assert line.track is not None
        subscription = self._subscriptions[line.track]
        if not answered.receives or line.codec.payload_type not in answered.payload_types:
            log.info("media_line_refused", session=self.session, mid=line.mid)
            subscription.end()
            self._negotiated.discard(line.track)
            return
        subscription.negotiate(rtx=line.codec.rtx_payload_type in answered.payload_types, extensions=answered.audio_level)
        self._negotiated.add(line.track)
        if self.peer.connected:
            subscription.begin(time.monotonic())

    def on_connected(self) -> None:
        """Begin to forward what was negotiated."""
        now = time.monotonic()
        for track in self._negotiated:
            self._subscriptions[track].begin(now)

    def expects(self, packet: memoryview) -> bool:  # noqa: ARG002
        """Nothing comes this way."""
        return False

    def on_rtp(self, packet: memoryview, now: float) -> None:
        """Ignore it: nothing comes this way."""

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Take the subscriber's feedback."""
        if now - self._repairs_since >= 1.0:
            self._repairs, self._repairs_since = 0, now
        try:
            items = parse(data, nacked=min(MAX_NACKED, _REPAIRS_A_SECOND - self._repairs))
        except MalformedRtcpError:
            return
        for item in items:
            if isinstance(item, Nack):
                self._repairs += len(item.sequences)
            subscription = self._by_ssrc.get(item.ssrc)
            if isinstance(item, BitrateEstimate):
                self._line.estimated(item.bits_per_second, now)
            elif subscription is not None:
                self._serve(subscription, item, now)

    def _serve(self, subscription: Subscription | LayeredSubscription, item: Feedback, now: float) -> None:
        match item:
            case Nack():
                subscription.delivery.nacks += len(item.sequences)
                subscription.repair(item.sequences)
            case KeyFrameRequest():
                subscription.delivery.key_frame_requests += 1
                subscription.request_key_frame(now)
            case ReportBlock():
                self._loss = max(self._loss or 0.0, item.fraction_lost / 256)
                round_trip = subscription.delivery.heard(item, now)
                if round_trip is not None:
                    self._measures.round_trip.observe(LINE_SECONDS, round_trip)

    def silence(self) -> None:
        """Send and receive nothing any more, from now on; harmless twice."""
        self.peer.silence()
        for track in list(self._subscriptions):
            self._end(track)
        self._remember({})
        self._open = None

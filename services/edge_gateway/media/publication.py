"""A session's publishing peer connection: its tracks, and the feedback to it."""

import secrets
from collections.abc import Callable

from services.edge_gateway.media.interface import Connection, Kind, MediaRefusedError, Track
from services.edge_gateway.media.layered_track import LayeredTrack
from services.edge_gateway.media.measures import LINE_SECONDS, Measures, Meter, Traffic
from services.edge_gateway.media.peer import Peer, PeerUser
from services.edge_gateway.media.rid import NamedStream, name_of
from services.edge_gateway.media.rtcp import MalformedRtcpError, SenderReport, bitrate_limit, receiver_report
from services.edge_gateway.media.rtcp import parse as parse_rtcp
from services.edge_gateway.media.rtp import MalformedRtpError, parse
from services.edge_gateway.media.sdp import OfferedTrack, PublishOffer, extension_ids
from services.edge_gateway.media.sdp_writer import AUDIO_LEVEL_ID, LocalTransport, write_answer
from services.edge_gateway.media.track import PublishedTrack


class Publication:
    """What one session sends. It is a :class:`~services.edge_gateway.media.peer.PeerUser`.

    Args:
        session: whose it is.
        offer: what its client offered.
        connect: makes the peer connection.
        describe: says where it is.
        video_bitrate: bits per second for each video track.
        measures: where it is counted what it sends.
    """

    connection: Connection = "publish"

    def __init__(
        self,
        session: str,
        offer: PublishOffer,
        connect: Callable[[str, PeerUser], Peer],
        describe: Callable[[Peer], LocalTransport],
        video_bitrate: int,
        *,
        measures: Measures,
    ) -> None:
        self.session = session
        self.peer = connect(session, self)
        self._offer = offer
        self._describe = describe
        self._sdp_session = secrets.randbits(62)
        self._answers = 0
        self.sdp = self._answer()
        stream = secrets.token_hex(16)
        self._sender = secrets.randbits(32)
        self._extension_ids = extension_ids(offer.tracks, AUDIO_LEVEL_ID)
        self.tracks = tuple(self._make(offered, stream) for offered in offer.tracks)
        single = [track for track in self.tracks if isinstance(track, PublishedTrack)]
        self._layered = [track for track in self.tracks if isinstance(track, LayeredTrack)]
        self._by_ssrc = {track.offered.ssrc: track for track in single}
        self._by_rtx_ssrc = {track.offered.rtx_ssrc: track for track in single if track.offered.rtx_ssrc is not None}
        self.ssrcs = set(self._by_ssrc) | set(self._by_rtx_ssrc)
        self._bitrate = video_bitrate * sum(track.codec.kind == "video" for track in self.tracks)
        self._measures = measures
        self._meter = Meter(measures.received)
        self.peer.expect(offer.fingerprints)

    def _answer(self) -> str:
        self._answers += 1
        return write_answer(self._offer, self._describe(self.peer), self._sdp_session, self._answers)

    def restart(self, offer: PublishOffer) -> str:
        """Have the client look for a new way here. Returns the answer.

        Args:
            offer: it offers what it did before.

        Raises:
            MediaRefusedError: it does not.
        """
        if offer != self._offer:
            raise MediaRefusedError("unsupported_media", "an ICE restart offers the same as before")
        self.peer.restart()
        return self._answer()

    def _make(self, offered: OfferedTrack, stream: str) -> PublishedTrack | LayeredTrack:
        track = Track(secrets.token_hex(16), offered.codec.kind, offered.codec.name, layered="small" in offered.layers)
        if offered.layers:
            return LayeredTrack(track, stream, offered, self.peer.link, self._sender)
        ids = self._extension_ids.get(offered.ssrc, {})
        return PublishedTrack(track, stream, offered, self.peer.link, extension_ids=ids, sender=self._sender)

    def expects(self, packet: memoryview) -> bool:
        """Whether a packet names a layer's stream that is not known yet."""
        return self._named(packet) is not None

    def _named(self, packet: memoryview) -> tuple[LayeredTrack, NamedStream] | None:
        for track in self._layered:
            named = None if track.rid_ids is None else name_of(packet, track.rid_ids)
            if named is not None and track.misses(named):
                return track, named
        return None

    def _learn(self, packet: memoryview, ssrc: int, now: float) -> None:
        """Take note of whose a new SSRC is. There are few: each stream has one, for good."""
        found = self._named(packet)
        if found is None:
            return
        track, named = found
        self.ssrcs.add(ssrc)
        layer = track.learn(named, ssrc, now)
        if layer is not None:
            self._by_ssrc[ssrc] = layer
        self._by_rtx_ssrc |= track.repairs()

    def on_connected(self) -> None:
        """Nothing to do: what a publisher sends first is a key frame."""

    def on_rtp(self, packet: memoryview, now: float) -> None:
        """Take a packet of one of the tracks; others are dropped."""
        ssrc = int.from_bytes(packet[8:12], "big")
        if ssrc not in self.ssrcs:
            self._learn(packet, ssrc, now)
        try:
            parsed = parse(packet, self._extension_ids)
        except MalformedRtpError:
            return
        track = self._by_ssrc.get(parsed.ssrc)
        if track is not None:
            track.on_packet(parsed, now)
            return
        track = self._by_rtx_ssrc.get(parsed.ssrc)
        if track is not None:
            track.on_retransmission(parsed, now)

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Take the publisher's reports."""
        try:
            items = parse_rtcp(data, nacked=0)
        except MalformedRtcpError:
            return
        for item in items:
            track = self._by_ssrc.get(item.ssrc)
            if track is not None and isinstance(item, SenderReport):
                track.on_sender_report(item, now)

    def mute(self, kinds: frozenset[Kind], now: float) -> None:
        """Forward these kinds to nobody, and the others again."""
        for track in self.tracks:
            track.mute(now, muted=track.track.kind in kinds)

    def tick(self, now: float) -> None:
        """Repeat requests that were not met; to be called some times a second."""
        for track in self.tracks:
            track.tick(now)

    def report(self, now: float) -> None:
        """Tell the publisher what arrived, and what it may send; to be called each second."""
        streams = self._by_ssrc.values()
        blocks = [block for block in (stream.report(now) for stream in streams) if block is not None]
        if blocks:
            video = [stream.offered.ssrc for stream in streams if stream.codec.kind == "video"]
            limit = bitrate_limit(self._sender, self._bitrate, video) if video else b""
            self.peer.send_rtcp(receiver_report(self._sender, blocks) + limit)

    @property
    def carried(self) -> Traffic:
        """All that came, as it was counted last."""
        return self._meter.total

    def count(self) -> None:
        """Count what came, and how evenly; to be called every few seconds."""
        for ssrc, stream in self._by_ssrc.items():
            traffic = stream.traffic()
            self._meter.count(ssrc, stream.codec.kind, traffic)
            if traffic.packets:
                self._measures.jitter.observe(LINE_SECONDS, stream.jitter)

    def silence(self) -> None:
        """Receive and send nothing any more, from now on; harmless twice."""
        for track in self.tracks:
            track.close()
        self.peer.silence()

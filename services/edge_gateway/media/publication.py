"""A session's publishing peer connection: its tracks, and the feedback to it."""

import secrets
from collections.abc import Callable

from services.edge_gateway.media.interface import Connection, Track
from services.edge_gateway.media.peer import Peer, PeerUser
from services.edge_gateway.media.rtcp import MalformedRtcpError, SenderReport, bitrate_limit, receiver_report
from services.edge_gateway.media.rtcp import parse as parse_rtcp
from services.edge_gateway.media.rtp import MalformedRtpError, parse
from services.edge_gateway.media.sdp import PublishOffer, extension_ids
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
    """

    connection: Connection = "publish"

    def __init__(
        self,
        session: str,
        offer: PublishOffer,
        connect: Callable[[str, PeerUser], Peer],
        describe: Callable[[Peer], LocalTransport],
        video_bitrate: int,
    ) -> None:
        self.session = session
        self.peer = connect(session, self)
        self.sdp = write_answer(offer, describe(self.peer), secrets.randbits(62))
        stream = secrets.token_hex(16)
        ours = secrets.randbits(32)
        self._extension_ids = extension_ids(offer.tracks, AUDIO_LEVEL_ID)
        self.tracks = tuple(
            PublishedTrack(
                Track(secrets.token_hex(16), offered.codec.kind),
                stream,
                offered,
                self.peer.link,
                extension_ids=self._extension_ids.get(offered.ssrc, {}),
                sender=ours,
            )
            for offered in offer.tracks
        )
        self._sender = ours
        self._by_ssrc = {track.offered.ssrc: track for track in self.tracks}
        self._by_rtx_ssrc = {track.offered.rtx_ssrc: track for track in self.tracks if track.offered.rtx_ssrc is not None}
        self.ssrcs = frozenset(self._by_ssrc) | frozenset(self._by_rtx_ssrc)
        self._video = [track.offered.ssrc for track in self.tracks if track.codec.kind == "video"]
        self._bitrate = video_bitrate * len(self._video)
        self.peer.expect(offer.fingerprints)

    def on_connected(self) -> None:
        """Nothing to do: what a publisher sends first is a key frame."""

    def on_rtp(self, packet: memoryview, now: float) -> None:
        """Take a packet of one of the tracks; others are dropped."""
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

    def tick(self, now: float) -> None:
        """Repeat requests that were not met; to be called some times a second."""
        for track in self.tracks:
            track.tick(now)

    def report(self, now: float) -> None:
        """Tell the publisher what arrived, and what it may send; to be called each second."""
        blocks = [block for block in (track.report(now) for track in self.tracks) if block is not None]
        if blocks:
            limit = bitrate_limit(self._sender, self._bitrate, self._video) if self._video else b""
            self.peer.send_rtcp(receiver_report(self._sender, blocks) + limit)

    def silence(self) -> None:
        """Receive and send nothing any more, from now on; harmless twice."""
        for track in self.tracks:
            track.close()
        self.peer.silence()

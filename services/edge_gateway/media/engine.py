"""The media engine: one port, publications, subscribers, and who gets what."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from services.edge_gateway.media.advertise import candidates
from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.dtls import SharedCertificate
from services.edge_gateway.media.engines import open_mux
from services.edge_gateway.media.forwarding import Allowance
from services.edge_gateway.media.interface import Kind, MediaRefusedError, Offer, Published, Said, Stopped, TransportFailed, check_limit
from services.edge_gateway.media.layered_track import LayeredTrack
from services.edge_gateway.media.measures import Measures
from services.edge_gateway.media.mux import UdpMux
from services.edge_gateway.media.peer import Peer, PeerUser
from services.edge_gateway.media.publication import Publication
from services.edge_gateway.media.sdp import read_offer
from services.edge_gateway.media.sdp_writer import LocalTransport
from services.edge_gateway.media.settings import MediaSettings
from services.edge_gateway.media.sockets import bind
from services.edge_gateway.media.subscriber import Subscriber
from services.edge_gateway.media.tcp import TcpListener
from services.edge_gateway.media.track import PublishedTrack

log = structlog.get_logger()

_TICK = 0.1
"""Seconds between repeated requests; every tenth tick reports are sent."""
_TICKS_A_REPORT = 10
_OFFERS_A_TURN = 8
"""Made in one turn of the event loop: each takes a third of a millisecond, and packets do not wait for hundreds of them."""
_TICKS_A_COUNT = 50
"""Prometheus asks every 10 to 60 s."""
_GOODBYE_SECONDS = 2.0


class UdpMediaEngine:
    """Forwards media in this process, on one port. It is a :class:`~services.edge_gateway.media.interface.MediaEngine`.

    In a gateway that process is a :mod:`~services.edge_gateway.media.worker`.

    Its methods never suspend, so each takes effect as a whole; it is made by :meth:`start`.
    """

    def __init__(
        self,
        settings: MediaSettings,
        mux: UdpMux,
        tcp: TcpListener | None,
        addresses: Sequence[str],
        *,
        on_offer: Callable[[Offer], None],
        on_failed: Callable[[TransportFailed], None],
        on_said: Callable[[Said], None],
        may_offer: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._mux = mux
        self._tcp = tcp
        self._addresses = addresses
        self._on_offer = on_offer
        self._on_failed = on_failed
        self._may_offer = may_offer
        self._on_said = on_said
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._certificate = SharedCertificate.generateCertificate()
        self._fingerprint = self._certificate.sha256
        self._codecs = [CODECS[name] for name in settings.codecs]
        self._publications: dict[str, Publication] = {}
        self._subscribers: dict[str, Subscriber] = {}
        self._tracks: dict[str, PublishedTrack | LayeredTrack] = {}
        self._offers_due: dict[str, None] = {}
        self._gone: set[str] = set()
        self._settling = False
        self._ticks = 0
        self._measures = Measures()
        self._timer = self._loop.call_later(_TICK, self._tick)

    @classmethod
    async def start(
        cls,
        settings: MediaSettings,
        on_offer: Callable[[Offer], None],
        *,
        on_failed: Callable[[TransportFailed], None] = lambda _: None,
        on_said: Callable[[Said], None] = lambda _: None,
        may_offer: Callable[[], bool] = lambda: True,
    ) -> "UdpMediaEngine":
        """Listen.

        Args:
            settings: where, and how much.
            on_offer: gets each offer for a session's client; it is called between the engine's own calls, never in one,
                and does not raise.
            on_failed: is told, in the same way, of each peer connection that will never be, or is no more; not of one that was stopped.
            on_said: is told, in the same way, what clients answer to notices.
            may_offer: whether offers are taken now. As long as they are not, they wait: a large room has megabytes of them.

        Raises:
            ConfigurationError: the port or the engine cannot be had, or the address to advertise is not found.
        """
        addresses = await candidates(settings)
        sockets = bind(settings.hosts, settings.port, tcp=settings.tcp_connections > 0)
        mux = open_mux(settings.engine, *sockets.udp, allowance=Allowance.of(settings.max_packet_rate, settings.max_bitrate))
        tcp = TcpListener(mux, settings.tcp_connections, settings.tcp_connections_per_address) if sockets.tcp else None
        engine = cls(settings, mux, tcp, addresses, on_offer=on_offer, on_failed=on_failed, on_said=on_said, may_offer=may_offer)
        mux.start(engine._loop)
        if tcp is not None:
            await tcp.start(*sockets.tcp)
        log.info("media_listening", engine=mux.name, host=settings.host, port=mux.port, tcp=tcp is not None, advertise=addresses)
        return engine

    @property
    def port(self) -> int:
        """The port, of UDP and TCP."""
        return self._mux.port

    async def publish(self, session: str, offer: str) -> Published:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        if session in self._publications:
            raise MediaRefusedError("invalid_state", "the session publishes already")
        read = read_offer(offer, self._codecs)
        self._check_room_for_connection()
        check_limit("worker_tracks", len(self._tracks) + len(read.tracks), self._settings.max_worker_tracks)
        publication = Publication(session, read, self._connect, self._describe, self._settings.video_bitrate, measures=self._measures)
        self._publications[session] = publication
        self._tracks.update({track.track.id: track for track in publication.tracks})
        log.info("media_published", session=session, tracks=[track.track.id for track in publication.tracks])
        return Published(publication.sdp, tuple(track.track for track in publication.tracks))

    async def unpublish(self, session: str) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        publication = self._silence_publication(session)
        if publication is not None:
            log.info("media_unpublished", session=session)
            await publication.peer.close()

    async def restart_publication(self, session: str, offer: str) -> str:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        publication = self._publications.get(session)
        if publication is None:
            raise MediaRefusedError("invalid_state", "the session publishes nothing")
        answer = publication.restart(read_offer(offer, self._codecs))
        log.info("media_restarts", session=session, connection=publication.connection)
        return answer

    async def mute(self, session: str, kinds: frozenset[Kind]) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        publication = self._publications.get(session)
        if publication is not None:
            publication.mute(kinds, time.monotonic())

    async def subscribe(self, session: str, tracks: frozenset[str], small: frozenset[str] = frozenset()) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        known = [track for track in tracks if track in self._tracks]
        subscriber = self._subscribers.get(session)
        check_limit("session_subscriptions", len(known), self._settings.max_subscriptions)
        more = len(known) - (0 if subscriber is None else subscriber.wanted)
        if more > 0:
            check_limit("worker_subscriptions", self._measures.subscriptions + more, self._settings.max_worker_subscriptions)
        if subscriber is None:
            if not known:
                return
            self._check_room_for_connection()
            subscriber = self._subscribers[session] = self._make_subscriber(session)
        subscriber.prefer(small, time.monotonic())
        self._want(subscriber, known)

    def _make_subscriber(self, session: str) -> Subscriber:
        limit = self._settings.max_media_lines
        return Subscriber(session, self._connect, self._describe, self._mux.out.view, limit, measures=self._measures)

    def _check_room_for_connection(self) -> None:
        check_limit("worker_connections", len(self._publications) + len(self._subscribers) + 1, self._settings.max_worker_connections)

    async def restart_subscription(self, session: str) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        subscriber = self._subscribers.get(session)
        if subscriber is None:
            raise MediaRefusedError("invalid_state", "the session receives nothing")
        subscriber.restart()
        log.info("media_restarts", session=session, connection=subscriber.connection)
        self._offer_soon(session)

    async def unsubscribe(self, session: str) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        subscriber = self._silence_subscriber(session)
        if subscriber is not None:
            log.info("media_unsubscribed", session=session)
            await subscriber.peer.close()

    async def answer(self, session: str, number: int, sdp: str) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        subscriber = self._subscribers.get(session)
        if subscriber is None:
            raise MediaRefusedError("invalid_state", f"offer {number} is not open")
        if subscriber.answer(number, sdp):
            self._offer_soon(session)

    async def stop(self, *sessions: str, notice: str | None = None) -> Stopped:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        silenced = [
            (session, self._silence(session)) for session in sessions if session in self._publications or session in self._subscribers
        ]
        stopped = time.time()
        told: set[str] = set()
        # Only now is DTLS told to end: its close_notify is no media, and it must not come before the silence.
        for session, peers in silenced:
            for peer in peers:
                if notice is not None and peer.can_tell:
                    told.add(session)
                    self._say_goodbye(session, peer, notice)
                else:
                    await peer.close()
            log.info("media_stopped", session=session, at=stopped)
        return Stopped(stopped, frozenset(told))

    def _say_goodbye(self, session: str, peer: Peer, notice: str) -> None:
        task = self._loop.create_task(self._tell_and_close(session, peer, notice))
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    async def _tell_and_close(self, session: str, peer: Peer, notice: str) -> None:
        try:
            word = await peer.tell(notice, _GOODBYE_SECONDS)
            if word is not None:
                self._on_said(Said(session, word))
        finally:
            await peer.close()

    def allow_until(self, deadline: float | None) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        self._mux.allow_until(float("inf") if deadline is None else deadline)

    async def close(self) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        self._timer.cancel()
        peers = self._peers()
        await self.stop(*self._publications, *self._subscribers)
        for goodbye in self._goodbyes:
            goodbye.cancel()
        await asyncio.gather(*self._goodbyes, return_exceptions=True)
        if self._tcp is not None:
            self._tcp.close()
        self._mux.close()
        for peer in peers:
            await peer.ended()

    def _peers(self) -> list[Peer]:
        return [user.peer for user in self._publications.values()] + [user.peer for user in self._subscribers.values()]

    def measures(self) -> Measures:
        """Say what was measured so far."""
        measures, losses = self._measures, self._mux.losses
        measures.forwarding = self._mux.forwarding
        measures.dropped = {"too_long": losses.too_long, "not_sent": losses.not_sent, "too_fast": losses.too_fast}
        measures.connections = {"publish": len(self._publications), "subscribe": len(self._subscribers)}
        measures.workers = {self._mux.name: 1}
        measures.cpu_seconds = time.process_time()
        return measures

    def _connect(self, session: str, user: PeerUser) -> Peer:
        return Peer(session, user, self._mux, self._certificate, self._settings.handshake_timeout, failed=self._on_failed)

    def _describe(self, peer: Peer) -> LocalTransport:
        return LocalTransport(peer.credentials, self._fingerprint, self._addresses, self._mux.port, tcp=self._tcp is not None)

    def _silence(self, session: str) -> list[Peer]:
        """End what a session sends and receives. Returns its peer connections, which are still open."""
        publication = self._silence_publication(session)
        subscriber = self._silence_subscriber(session)
        return [user.peer for user in (publication, subscriber) if user is not None]

    def _silence_subscriber(self, session: str) -> Subscriber | None:
        """End what a session receives, without telling its client."""
        subscriber = self._subscribers.pop(session, None)
        if subscriber is not None:
            subscriber.silence()
            self._ended(subscriber)
        self._offers_due.pop(session, None)
        return subscriber

    def _silence_publication(self, session: str) -> Publication | None:
        """End a publication for everybody, without telling its client."""
        publication = self._publications.pop(session, None)
        if publication is None:
            return None
        publication.silence()
        publication.count()
        self._ended(publication)
        for track in publication.tracks:
            del self._tracks[track.track.id]
            self._gone.add(track.track.id)
        self._settle_soon()
        return publication

    @staticmethod
    def _ended(user: Publication | Subscriber) -> None:
        carried = user.carried
        log.debug(
            "session_media_ended",
            session=user.session,
            connection=user.connection,
            packets=carried.packets,
            octets=carried.octets,
            lost=carried.lost,
            nacks=carried.nacks,
            key_frame_requests=carried.key_frame_requests,
            repairs=carried.repairs,
            too_fast=user.peer.link.too_fast,
        )

    def _want(self, subscriber: Subscriber, tracks: Iterable[str]) -> None:
        # In the order of publishing, so that the same wish makes the same offer.
        wanted = set(tracks)
        if subscriber.want({track: source for track, source in self._tracks.items() if track in wanted}):
            self._offer_soon(subscriber.session)

    def _offer_soon(self, session: str) -> None:
        self._offers_due[session] = None
        self._settle_soon()

    def _settle_soon(self) -> None:
        """Offer once this turn of the loop is over: what changes together makes one offer, and who stops too makes none."""
        if not self._settling:
            self._settling = True
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._settling = False
        gone, self._gone = self._gone, set()
        for subscriber in self._subscribers.values():
            if gone and subscriber.lose(gone):
                self._offers_due[subscriber.session] = None
        self._make_offers()

    def _make_offers(self) -> None:
        """Make some of the offers that are due; the others have their turn later."""
        if not self._may_offer():
            # A tick looks again.
            return
        for session in tuple(itertools.islice(self._offers_due, _OFFERS_A_TURN)):
            del self._offers_due[session]
            try:
                self._make_offer(self._subscribers[session])
            except Exception:  # others' offers are none the worse
                log.exception("media_offer_lost", session=session)
        if self._offers_due:
            self._settle_soon()

    def _make_offer(self, subscriber: Subscriber) -> None:
        offer = subscriber.make_offer()
        if offer is not None:
            self._on_offer(offer)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK, self._tick)
        now = time.monotonic()
        self._ticks += 1
        if self._offers_due:
            self._settle_soon()
        for publication in self._publications.values():
            publication.tick(now)
            if self._ticks % _TICKS_A_REPORT == 0:
                publication.report(now)
        if self._ticks % _TICKS_A_REPORT == 0:
            for subscriber in self._subscribers.values():
                subscriber.look_at_line(now)
            for peer in self._peers():
                peer.look_at_consent(now)
        # A part at each tick: nobody's packets wait for all of them.
        everybody: Iterable[Publication | Subscriber] = itertools.chain(self._publications.values(), self._subscribers.values())
        for user in itertools.islice(everybody, self._ticks % _TICKS_A_COUNT, None, _TICKS_A_COUNT):
            user.count()
            user.peer.look_at_rate()

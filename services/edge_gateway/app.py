"""The gateway as a service: the bus on one side, browsers on the other, media beside them."""

import asyncio
import functools
import secrets
import time
from collections.abc import Awaitable, Callable

import structlog
from faststream.nats import NatsBroker

from services.edge_gateway.admission import Admission
from services.edge_gateway.gateway import Gateway
from services.edge_gateway.hearing import Hearing
from services.edge_gateway.house import House
from services.edge_gateway.media.interface import MediaPlane, Offer, Said, TransportFailed
from services.edge_gateway.media.settings import MediaSettings
from services.edge_gateway.media.workers import MediaWorkers
from services.edge_gateway.metrics import GatewayMetrics
from services.edge_gateway.receipts import ReceiptBook
from services.edge_gateway.room import LocalRooms
from services.edge_gateway.settings import GatewaySettings
from services.edge_gateway.signalling import Signalling
from services.edge_gateway.web import routes
from shared.auth import resume_token
from shared.auth.apps import Apps
from shared.bus.connection import connection_of, make_broker
from shared.bus.follower import Follower
from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient, deadline
from shared.clients.leases import GatewayLeases
from shared.clients.receipts import Receipts
from shared.contracts.errors import UnavailableError
from shared.contracts.ids import RoomKey, gateway_id
from shared.contracts.leases import GatewayLease
from shared.contracts.subjects import Part
from shared.service import Service
from shared.tracing import Tracer, make_tracer

log = structlog.get_logger()

_RECEIPT_SECONDS = 1.0
_GONE_SECONDS = 1.0
_NONCE_BYTES = 24

StartMedia = Callable[
    [MediaSettings, Callable[[Offer], None], Callable[[TransportFailed], None], Callable[[Said], None]], Awaitable[MediaPlane]
]


def build(
    settings: GatewaySettings,
    *,
    start_media: StartMedia | None = None,
    new_id: Callable[[], str] = lambda: secrets.token_hex(16),
) -> Service:
    """Build a gateway.

    Args:
        settings: what it is told.
        start_media: gets the settings, and who hears of offers, failures and clients' words; it is worker processes where nothing is given.
        new_id: makes ids of 32 hexadecimal digits; each is used once.

    Raises:
        ConfigurationError: the settings contradict each other.
    """
    apps = settings.apps()
    start_media = start_media or functools.partial(MediaWorkers.start, log_level=settings.log_level)
    metrics, tracer = GatewayMetrics(), make_tracer(settings, Part.GATEWAY)
    process = Process(
        settings, apps, make_broker(settings, Part.GATEWAY, metrics), metrics=metrics, tracer=tracer, start_media=start_media, new_id=new_id
    )
    origins = frozenset(origin.strip() for origin in settings.allowed_origins.split(",")) - {"*", ""}
    signalling = Signalling(
        Admission(apps, settings.failed_joins_per_minute, settings.joins_per_second),
        process.house,
        origins,
        settings.join_timeout,
        metrics.refused,
    )
    service = Service(
        Part.GATEWAY,
        settings,
        process.broker,
        metrics,
        tracer,
        routes=routes(settings, signalling),
        start=lambda: process.start(service.fail),
        drain=process.drain,
        stop=process.stop,
        missing=process.unready,
        trusted_proxies=settings.trusted_proxies,
    )
    return service


class Process:
    """What starts and ends with the process, in this order: media, hearing, serving."""

    def __init__(
        self,
        settings: GatewaySettings,
        apps: Apps,
        broker: NatsBroker,
        *,
        metrics: GatewayMetrics,
        tracer: Tracer,
        start_media: StartMedia,
        new_id: Callable[[], str],
    ) -> None:
        self.broker = broker
        self._metrics = metrics
        self._tracer = tracer
        self._apps = apps
        self._settings = settings
        self._media_settings = settings.media()
        self._relays = settings.relays(time.time)
        self._start_media = start_media
        self._new_id = new_id
        self._house: House | None = None
        self._gateway: Gateway | None = None
        self._leases: GatewayLeases | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._heard = False
        self._ending = False

    async def start(self, fail: Callable[[str], None]) -> None:
        """Begin to hear, and take sessions once that has been done completely for the first time."""
        self._keeping = asyncio.create_task(self._settings.keep(self._apps))
        connection = connection_of(self.broker)
        stream = EventStream(connection)
        partitions = await stream.wait_for_partitions()
        name = gateway_id(self._settings.gateway_name, self._new_id()[:16])
        rooms = LocalRooms()
        media = await self._start_media(self._media_settings, rooms.offered, rooms.media_failed, rooms.said)
        metrics = self._metrics
        receipts = ReceiptBook(
            name, Receipts(connection), lambda: time.time_ns() // 1_000_000, metrics.receipt_written, metrics.receipt_dropped
        )
        hearing = Hearing(self._settings.reconnect_grace)
        metrics.watch_house(rooms, hearing, receipts)
        metrics.watch_media(media)
        house = House(
            gateway=name,
            commands=CommandClient(connection, partitions),
            media=media,
            codecs=self._media_settings.codecs,
            streams_per_room=self._settings.media_max_streams_per_room,
            rooms=rooms,
            relays=self._relays,
            receipts=receipts,
            hearing=hearing,
            metrics=metrics,
            tracer=self._tracer,
            new_id=self._new_id,
            new_token=self._new_token,
            expires_at=deadline,
        )
        gateway = Gateway(house, fail)
        self._gateway, self._house, self._leases = gateway, house, GatewayLeases(connection)
        follower = Follower(connection, stream, gateway.apply, self._confirm)
        metrics.watch_follower(applied=lambda: follower.applied, lag=lambda: follower.lag, heard_at=lambda: follower.heard_at)
        await follower.start()
        self._following = asyncio.create_task(follower.keep(fail))
        await follower.heard()
        self._heard = True
        log.info("gateway_serves", gateway=name)

    def _new_token(self, room: RoomKey, session: str) -> str:
        app = self._apps.app(room.app)
        assert app is not None, "a join's app was checked"
        return resume_token.make(app.secret_key, room, session, secrets.token_bytes(_NONCE_BYTES))

    async def drain(self) -> None:
        """Take no more sessions, and have those that are here go on elsewhere."""
        self._ending = True
        if self._gateway is not None:
            await self._gateway.drain(self._settings.drain_seconds)

    async def stop(self) -> None:
        """Let go of what is left, and end. The last word says that nothing is forwarded any more."""
        self._ending = True
        if self._keeping is not None:
            self._keeping.cancel()
        if self._gateway is None or self._house is None:
            return
        await self._gateway.close(self._settings.stop_seconds / 2)
        await self._house.receipts.close(_RECEIPT_SECONDS)
        if self._following is not None:
            self._following.cancel()
        await self._house.media.close()
        await self._say_gone(self._house)

    def missing(self) -> list[str]:
        """Say why no session should be brought here."""
        if self._ending:
            return ["the gateway is about to end"]
        if not self._heard or self._house is None:
            return ["the event stream has not been heard yet"]
        return [f"the event stream was last heard {self._house.hearing.silence:.0f} s ago"] if self._house.hearing.deaf else []

    def unready(self) -> list[str]:
        """Say that, and what keeps the sessions that are here from having media."""
        return self.missing() + ([] if self._house is None else self._house.media.missing())

    def house(self) -> House | None:
        """Return where new sessions may live; None while none are taken."""
        return None if self.missing() else self._house

    async def _confirm(self, began: float) -> None:
        """Do what a round ends with: this boot is alive, and may forward for another while."""
        assert self._gateway is not None
        assert self._house is not None
        assert self._leases is not None
        if self._gateway.lost:
            return
        # Endings that this round has found have stopped their media by then: a session takes what is posted to it at once.
        await self._leases.renew(self._lease(self._house))
        grace = self._isolation_grace
        self._house.media.allow_until(None if grace is None else began + grace)
        self._house.hearing.finished(began)
        self._gateway.reconcile()

    async def _say_gone(self, house: House) -> None:
        assert self._leases is not None
        try:
            async with asyncio.timeout(_GONE_SECONDS):
                await self._leases.renew(self._lease(house, gone=True))
        except (UnavailableError, TimeoutError) as error:
            log.warning("lease_not_ended", reason=str(error) or type(error).__name__)

    def _lease(self, house: House, *, gone: bool = False) -> GatewayLease:
        grace = self._settings.reconnect_grace
        return GatewayLease(gateway=house.gateway, isolation_grace=self._isolation_grace, reconnect_grace=grace, gone=gone)

    @property
    def _isolation_grace(self) -> float | None:
        grace = self._settings.isolation_grace
        return None if grace == "never" else grace

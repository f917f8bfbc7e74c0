"""The gateway as a service: the bus on one side, browsers on the other, media beside them."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable

import structlog
from faststream.nats import NatsBroker

from services.edge_gateway.admission import Admission
from services.edge_gateway.gateway import Gateway
from services.edge_gateway.house import House
from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.interface import MediaEngine, Offer
from services.edge_gateway.media.settings import MediaSettings
from services.edge_gateway.receipts import ReceiptBook
from services.edge_gateway.settings import GatewaySettings
from services.edge_gateway.signalling import Signalling
from services.edge_gateway.web import routes
from shared.bus.connection import connection_of, make_broker
from shared.bus.follower import Follower
from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient, deadline
from shared.clients.receipts import Receipts
from shared.contracts.commands import Announce, Join, Leave
from shared.contracts.errors import RefusedError, UnavailableError
from shared.contracts.ids import gateway_id
from shared.contracts.replies import JoinReply, LeaveReply
from shared.contracts.subjects import Part
from shared.service import Service

log = structlog.get_logger()

_RETRY_SECONDS = 0.5
_ANNOUNCE_SECONDS = 5.0
_RECEIPT_SECONDS = 1.0
_DEAF_SECONDS = 5.0
"""Without a finished round of hearing; a round is made every second."""

StartMedia = Callable[[MediaSettings, Callable[[Offer], None]], Awaitable[MediaEngine]]


def build(
    settings: GatewaySettings,
    *,
    start_media: StartMedia = UdpMediaEngine.start,
    new_id: Callable[[], str] = lambda: secrets.token_hex(16),
) -> Service:
    """Build a gateway.

    Args:
        settings: what it is told.
        start_media: makes the media engine.
        new_id: makes ids of 32 hexadecimal digits; each is used once.

    Raises:
        ConfigurationError: the settings contradict each other.
    """
    process = Process(settings, make_broker(settings, Part.GATEWAY), start_media, new_id)
    apps = settings.apps()
    origins = frozenset(origin.strip() for origin in settings.allowed_origins.split(",")) - {"*", ""}
    signalling = Signalling(
        Admission(apps, settings.failed_joins_per_minute, settings.joins_per_second), lambda: process.house, origins, settings.join_timeout
    )
    service = Service(
        Part.GATEWAY,
        settings,
        process.broker,
        routes=routes(settings, signalling),
        start=lambda: process.start(service.fail),
        stop=process.stop,
        missing=process.missing,
        trusted_proxies=settings.trusted_proxies,
    )
    return service


class _BusRegistry:
    """The registry, over the bus."""

    def __init__(self, client: CommandClient) -> None:
        self._client = client

    async def join(self, command: Join) -> JoinReply:
        return await self._client.send(command)

    async def leave(self, command: Leave) -> LeaveReply:
        return await self._client.send(command)


class Process:
    """What starts and ends with the process, in this order: media, hearing, announcing, serving."""

    def __init__(self, settings: GatewaySettings, broker: NatsBroker, start_media: StartMedia, new_id: Callable[[], str]) -> None:
        self.broker = broker
        self.house: House | None = None
        self._settings = settings
        self._media_settings = settings.media()
        self._start_media = start_media
        self._new_id = new_id
        self._gateway: Gateway | None = None
        self._media: MediaEngine | None = None
        self._follower: Follower | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self, fail: Callable[[str], None]) -> None:
        """Begin to hear, end what earlier boots of this name held, then take sessions."""
        connection = connection_of(self.broker)
        stream = EventStream(connection)
        partitions = await stream.wait_for_partitions()
        client = CommandClient(connection, partitions)
        registry = _BusRegistry(client)
        name = gateway_id(self._settings.gateway_name, self._new_id()[:16])
        gateway = Gateway(name, fail)
        media = await self._start_media(self._media_settings, gateway.offered)
        self._gateway, self._media = gateway, media
        house = House(
            gateway=name,
            registry=registry,
            media=media,
            rooms=gateway.rooms,
            receipts=ReceiptBook(name, Receipts(connection), lambda: time.time_ns() // 1_000_000),
            reconnect_grace=self._settings.reconnect_grace,
            new_id=self._new_id,
            expires_at=deadline,
        )
        self._follower = follower = Follower(connection, stream, gateway.apply)
        await follower.start()
        self._following = asyncio.create_task(follower.keep(fail))
        ended = await asyncio.gather(*(self._announce(client, name, partition) for partition in range(partitions)))
        log.info("gateway_announced", gateway=name, ended=sum(ended))
        self.house = gateway.house = house

    async def stop(self) -> None:
        """Take no more sessions, end those that are here, end."""
        self.house = None
        if self._gateway is not None:
            await self._gateway.close(self._settings.stop_seconds / 2)
            if self._gateway.house is not None:
                await self._gateway.house.receipts.close(_RECEIPT_SECONDS)
        if self._following is not None:
            self._following.cancel()
        if self._media is not None:
            await self._media.close()

    def missing(self) -> list[str]:
        """Say why no session should be brought here."""
        if self.house is None or self._follower is None:
            return ["the registry has not confirmed this gateway's start yet"]
        silence = time.monotonic() - self._follower.heard_at
        return [] if silence < _DEAF_SECONDS else [f"the event stream was last heard {silence:.0f} s ago"]

    async def _announce(self, client: CommandClient, name: str, partition: int) -> int:
        while True:
            command = Announce(id=self._new_id(), gateway=name, expires_at=deadline(_ANNOUNCE_SECONDS))
            try:
                return (await client.announce(partition, command)).ended
            except (UnavailableError, RefusedError) as error:
                log.warning("announcement_waits", partition=partition, reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

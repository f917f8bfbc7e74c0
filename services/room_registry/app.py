"""The registry as a service: all partitions, their owners, and the two doors that FastStream keeps."""

import asyncio
import secrets
import time
from collections.abc import Callable

import structlog
from faststream import ExceptionMiddleware
from faststream.nats import NatsBroker, NatsMessage
from nats.aio.subscription import Subscription
from pydantic import ValidationError

from services.room_registry.ledger import Ledger
from services.room_registry.owner import Owner
from services.room_registry.replica import Replica
from services.room_registry.settings import RegistrySettings
from shared.bus.connection import connection_of, make_broker
from shared.bus.stream import EventStream
from shared.contracts.errors import RefusalCode, StagedoorError, UnavailableError
from shared.contracts.ids import InvalidIdError
from shared.contracts.replies import Refusal, RoomsQuery, RoomsReply
from shared.contracts.subjects import COMMANDS, DOOR_COMMANDS, ROOMS, Part, command_subject, parse_subject, partition_of
from shared.service import Service

log = structlog.get_logger()

_RETRY_SECONDS = 0.5


def build(
    settings: RegistrySettings,
    *,
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    new_id: Callable[[], str] = lambda: secrets.token_hex(16),
) -> Service:
    """Build a registry.

    Args:
        settings: what it is told.
        clock: Unix time in milliseconds.
        new_id: makes ids; each is used once.
    """
    broker = make_broker(settings, Part.REGISTRY)
    registry = Registry(settings, broker, clock, new_id)
    service = Service(
        Part.REGISTRY, settings, broker, start=lambda: registry.start(service.fail), stop=registry.stop, missing=registry.missing
    )
    return service


class Registry:
    """Owners of all partitions over one broker."""

    def __init__(self, settings: RegistrySettings, broker: NatsBroker, clock: Callable[[], int], new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._broker = broker
        self._clock = clock
        self._new_id = new_id
        self._owners: list[Owner] = []
        self._subscriptions: list[Subscription] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._add_handlers()

    def _add_handlers(self) -> None:
        broker = self._broker
        refusing = ExceptionMiddleware(publish_handlers={ValidationError: _refuse_invalid})
        broker.add_middleware(refusing)

        # The body alone is a parameter: FastStream fills any other on a thread of its own.
        @broker.subscriber(DOOR_COMMANDS.subscription(), queue=Part.REGISTRY, no_reply=True)
        async def pass_on() -> None:
            await self._pass_on(broker.context.get_local("message"))

        @broker.subscriber(ROOMS.subscription(), queue=Part.REGISTRY)
        async def list_rooms(query: RoomsQuery) -> RoomsReply | Refusal:
            message: NatsMessage = broker.context.get_local("message")
            return self._list_rooms(message.raw_message.subject.split(".")[3], query)

    async def start(self, fail: Callable[[str], None]) -> None:
        """Fold the stream, take all partitions over, and serve them. ``fail`` is told if one cannot be served any more."""
        connection = connection_of(self._broker)
        stream = EventStream(connection)
        replica = Replica(stream, await self._ensure(stream), self._settings.limits())
        name = self._new_id()
        for number in range(len(replica.partitions)):
            owner = Owner(number, replica, Ledger(connection), name=name, clock=self._clock, new_id=self._new_id)
            # Subscribed before the epoch: what arrives in between waits in the queue.
            self._subscriptions.append(await connection.subscribe(COMMANDS.subscription(partition=number), cb=owner.offer))
            self._owners.append(owner)
        await connection.flush()
        self._tasks = [asyncio.create_task(self._own(owner, fail)) for owner in self._owners]

    async def stop(self) -> None:
        """Take no more commands, answer those that are here, end."""
        for subscription in self._subscriptions:
            await subscription.drain()
        serving = [owner.drain() for owner in self._owners if owner.serving]
        try:
            await asyncio.wait_for(asyncio.gather(*serving), self._settings.stop_seconds / 2)
        except TimeoutError:
            log.warning("commands_left_undecided")
        for task in self._tasks:
            task.cancel()

    def missing(self) -> list[str]:
        """Name the partitions that are not served yet."""
        if not self._owners:
            return ["the event stream"]
        return [f"partition {owner.number}" for owner in self._owners if not owner.serving]

    async def _ensure(self, stream: EventStream) -> int:
        settings = self._settings
        while True:
            try:
                return await stream.ensure(settings.partitions, replicas=settings.stream_replicas, max_bytes=settings.stream_max_bytes)
            except UnavailableError as error:
                log.warning("stream_waits", reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _own(self, owner: Owner, fail: Callable[[str], None]) -> None:
        try:
            await owner.take_over()
            await owner.serve()
        except StagedoorError as error:
            fail(str(error))
        except Exception as error:
            log.exception("owner_broken", partition=owner.number)
            fail(f"the owner of partition {owner.number} broke: {error}")

    async def _pass_on(self, message: NatsMessage) -> None:
        """Send a command that came without a partition to its owner, whose answer goes straight to the sender."""
        raw = message.raw_message
        try:
            address = parse_subject(raw.subject)
        except InvalidIdError as error:
            await _refuse(message, f"subject: {error}")
            return
        if address.key is None:
            await _refuse(message, "the door passes commands on rooms only")
            return
        if not self._owners:
            return
        subject = command_subject(partition_of(address.key, len(self._owners)), address.key, address.verb)
        await connection_of(self._broker).publish(subject, raw.data, reply=raw.reply)

    def _list_rooms(self, token: str, query: RoomsQuery) -> RoomsReply | Refusal:
        owner = next((owner for owner in self._owners if str(owner.number) == token), None)
        if owner is None or not owner.serving:
            return Refusal(code=RefusalCode.NOT_OWNER, message=f"partition {token} is not served here", retry=True)
        return owner.partition.list_rooms(query.after, query.limit)


def _refuse_invalid(error: ValidationError) -> Refusal:
    return Refusal(code=RefusalCode.BAD_REQUEST, message=str(error.errors(include_input=False, include_url=False)[0]["msg"]))


async def _refuse(message: NatsMessage, text: str) -> None:
    if message.raw_message.reply:
        await message.raw_message.respond(Refusal(code=RefusalCode.BAD_REQUEST, message=text).to_bytes())

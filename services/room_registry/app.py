"""The registry as a service: a replica of all partitions, owners for some, and the two doors that FastStream keeps."""

import asyncio
import datetime as dt
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from faststream.nats import NatsBroker, NatsMessage
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from services.room_registry.domain.partition import Partition
from services.room_registry.door import Door
from services.room_registry.keeping import Keeping, restore_partition
from services.room_registry.ledger import Ledger
from services.room_registry.metrics import MeteredLedger, RegistryMetrics
from services.room_registry.owner import Owner
from services.room_registry.replica import CorruptStreamError, Replica
from services.room_registry.settings import RegistrySettings
from services.room_registry.snapshots import Snapshots
from services.room_registry.standing import Standing
from services.room_registry.traces import CommandTraces
from services.room_registry.watch import Watch
from services.room_registry.watching import Watching
from services.room_registry.writer import Writer
from shared.bus.connection import connection_of, make_broker
from shared.bus.follower import Follower
from shared.bus.replies import respond
from shared.bus.stream import EventStream
from shared.clients.leases import GatewayLeases
from shared.clients.receipts import Receipts
from shared.contracts.errors import RefusalCode, StagedoorError, UnavailableError
from shared.contracts.messages import Message
from shared.contracts.replies import AnswerQuery, AnswerReply, Refusal, RoomsQuery, RoomsReply
from shared.contracts.subjects import ANSWERS, DOOR_COMMANDS, ROOMS, SNAPSHOT_STREAM, Part
from shared.service import Service
from shared.tracing import make_tracer

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
    metrics = RegistryMetrics()
    broker = make_broker(settings, Part.REGISTRY, metrics)
    tracer = make_tracer(settings, Part.REGISTRY)
    registry = Registry(settings, broker, metrics, CommandTraces(tracer), clock=clock, new_id=new_id)
    service = Service(
        Part.REGISTRY,
        settings,
        broker,
        metrics,
        tracer,
        start=lambda: registry.start(service.fail),
        stop=registry.stop,
        missing=registry.missing,
    )
    return service


class Registry:
    """One replica over one broker."""

    def __init__(
        self,
        settings: RegistrySettings,
        broker: NatsBroker,
        metrics: RegistryMetrics,
        traces: CommandTraces,
        *,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._metrics = metrics
        self._traces = traces
        self._clock = clock
        self._new_id = new_id
        self._partitions: Sequence[Partition] = ()
        self._door = Door(lambda: connection_of(broker), lambda: len(self._partitions))
        self._follower: Follower | None = None
        self._standing: Standing | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._add_handlers()

    def _add_handlers(self) -> None:
        broker = self._broker

        # Handlers take the message as it is: FastStream would answer wherever a sender says, and fills every parameter
        # but the body on a thread of its own.
        @broker.subscriber(DOOR_COMMANDS.subscription(), queue=Part.REGISTRY, no_reply=True)
        async def pass_on() -> None:
            await self._door.pass_on(_received(broker))

        @broker.subscriber(ROOMS.subscription(), queue=Part.REGISTRY, no_reply=True)
        async def list_rooms() -> None:
            message = _received(broker)
            await respond(message, self._list_rooms(message))

        @broker.subscriber(ANSWERS.subscription(), queue=Part.REGISTRY, no_reply=True)
        async def answer() -> None:
            message = _received(broker)
            if (reply := await self._answer(message)) is not None:
                await respond(message, reply)

    async def start(self, fail: Callable[[str], None]) -> None:
        """Fold the stream, and stand for partitions. ``fail`` is told if this replica cannot go on."""
        connection = connection_of(self._broker)
        stream = EventStream(connection)
        count = await self._ensure(connection, stream)
        partitions = await self._restore(count, connection, stream)

        def folded(number: int) -> None:
            owners[number].folded()
            keeping.folded(number)

        replica = Replica(partitions, folded)
        follower = Follower(connection, stream, replica.apply)
        name = self._new_id()
        settings, metrics = self._settings, self._metrics
        ledger = MeteredLedger(connection, self._traces.context_of, metrics)
        owners = [self._make_owner(replica, number, ledger, follower.catch_up, name) for number in range(count)]
        keeping = Keeping(
            Snapshots(connection),
            owners,
            every=settings.snapshot_every,
            retention=dt.timedelta(hours=settings.event_retention_hours),
            now=lambda: dt.datetime.now(dt.UTC),
            measure=metrics.snapshot,
        )
        metrics.watch_partitions(owners, keeping.uncovered)
        metrics.watch_follower(applied=lambda: follower.applied, lag=lambda: follower.lag, heard_at=lambda: follower.heard_at)
        metrics.watch_stream(lambda: stream.info)
        await follower.start(after=min(partition.last_seq for partition in partitions))
        covered = [partition.last_seq for partition in partitions]
        await self._fold(follower)
        await self._check_nothing_was_deleted(Snapshots(connection), covered)
        self._partitions, self._follower = replica.partitions, follower
        watching = Watching(
            GatewayLeases(connection), owners, lambda: Watch(settings.isolation_margin, settings.graces()), metrics.leases_unread
        )
        self._tasks = [asyncio.create_task(each.keep(fail)) for each in (follower, watching, keeping)]
        self._standing = Standing(connection, owners, name, settings.lease_seconds, fail)
        metrics.watch_replicas(self._standing.replicas)
        await self._standing.start()

    def _make_owner(self, replica: Replica, number: int, ledger: Ledger, catch_up: Callable[[], Awaitable[None]], name: str) -> Owner:
        partition = replica.partitions[number]
        writer = Writer(number, partition, ledger, catch_up=catch_up, name=name, clock=self._clock, new_id=self._new_id)
        return Owner(writer, len(replica.partitions), self._new_id, self._metrics.answered, self._traces)

    async def stop(self) -> None:
        """Hand over, or answer what is here; end."""
        if self._standing is not None:
            await self._standing.leave(self._settings.stop_seconds / 2)
        await self._door.close()
        for task in self._tasks:
            task.cancel()

    def missing(self) -> list[str]:
        """Say what is not served yet."""
        return ["the event stream"] if self._standing is None else self._standing.missing()

    async def _ensure(self, connection: Client, stream: EventStream) -> int:
        settings = self._settings
        while True:
            try:
                await Receipts(connection).ensure(settings.stream_replicas)
                await GatewayLeases(connection).ensure(settings.stream_replicas)
                await Snapshots(connection).ensure(settings.stream_replicas)
                return await stream.ensure(settings.partitions, replicas=settings.stream_replicas, max_bytes=settings.stream_max_bytes)
            except UnavailableError as error:
                log.warning("stream_waits", reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _restore(self, count: int, connection: Client, stream: EventStream) -> list[Partition]:
        """Make the partitions from their snapshots, as far as there are any."""
        snapshots, limits = Snapshots(connection), self._settings.limits()
        while True:
            try:
                partitions = [await restore_partition(snapshots, number, limits) for number in range(count)]
                first, last = await stream.begins_at(), await stream.last_seq()
            except UnavailableError as error:
                log.warning("snapshots_wait", reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if (covered := max(partition.last_seq for partition in partitions)) > last:
                raise CorruptStreamError(f"a snapshot covers {covered}, and the stream ends at {last}: it was restored from an older state")
            if covered == 0 and first > 1:
                raise CorruptStreamError(f"the stream begins at {first}, and there is no snapshot at all: {SNAPSHOT_STREAM} was lost")
            return partitions

    async def _check_nothing_was_deleted(self, snapshots: Snapshots, covered: Sequence[int]) -> None:
        """Check that no owner has deleted, meanwhile, what the snapshots that were read do not cover."""
        for number, seq in enumerate(covered):
            while True:
                try:
                    below = await snapshots.deleted_below(number)
                    break
                except UnavailableError as error:
                    log.warning("snapshots_wait", reason=str(error))
                    await asyncio.sleep(_RETRY_SECONDS)
            if below > seq + 1:
                raise CorruptStreamError(f"messages of partition {number} before {below} were deleted while they were read; start anew")

    async def _fold(self, follower: Follower) -> None:
        while True:
            try:
                await follower.catch_up()
            except UnavailableError as error:
                log.warning("folding_waits", seq=follower.applied, reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                log.info("folded", seq=follower.applied)
                return

    def _list_rooms(self, message: Msg) -> RoomsReply | Refusal:
        """Any replica answers: all fold all."""
        try:
            query = RoomsQuery.model_validate_json(message.data)
        except ValidationError as error:
            return _malformed(error)
        token = message.subject.split(".")[3]
        if not token.isdecimal() or int(token) >= len(self._partitions):
            return Refusal(code=RefusalCode.WRONG_PARTITION, message="there is no such partition here, or not yet", retry=True)
        return self._partitions[int(token)].list_rooms(query.after, query.limit)

    async def _answer(self, message: Msg) -> Message | None:
        """Say what a command was answered. Any replica knows, after a look at all that is committed; who cannot look says nothing."""
        try:
            query = AnswerQuery.model_validate_json(message.data)
        except ValidationError as error:
            return _malformed(error)
        if self._follower is None:
            return None
        if (known := self._remembered(query)) is not None:
            return known
        try:
            await self._follower.catch_up()
        except StagedoorError as error:
            log.warning("answer_waits", reason=str(error))
            return None
        return self._remembered(query) or AnswerReply(answer=None)

    def _remembered(self, query: AnswerQuery) -> AnswerReply | None:
        known = (partition.answer(query.app, query.command) for partition in self._partitions)
        return next((answer for answer in known if answer is not None), None)


def _received(broker: NatsBroker) -> Msg:
    message: NatsMessage = broker.context.get_local("message")
    raw: Msg = message.raw_message
    return raw


def _malformed(error: ValidationError) -> Refusal:
    return _bad_request(str(error.errors(include_input=False, include_url=False)[0]["msg"]))


def _bad_request(text: str) -> Refusal:
    return Refusal(code=RefusalCode.BAD_REQUEST, message=text)

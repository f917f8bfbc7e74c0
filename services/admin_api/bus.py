"""The registry, over NATS."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from shared.bus.connection import connection_of
from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import ConfigurationError, UnavailableError
from shared.contracts.replies import DismissReply, RemoveReply

log = structlog.get_logger()

_RETRY_SECONDS = 0.2


class BusRegistry:
    """Sends commands to the owners of partitions, once the stream has said how many there are."""

    def __init__(self, broker: NatsBroker) -> None:
        self._broker = broker
        self._client: CommandClient | None = None
        self._starting: asyncio.Task[None] | None = None

    async def start(self, fail: Callable[[str], None]) -> None:
        """Begin to ask for the stream. ``fail`` is told if there is one that cannot be ours."""
        self._starting = asyncio.create_task(self._find_stream(connection_of(self._broker), fail))

    async def stop(self) -> None:
        """Ask no more."""
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._starting

    def missing(self) -> list[str]:
        """Say what commands wait for."""
        return [] if self._client else ["the event stream, which a room_registry creates"]

    async def remove(self, command: Remove) -> RemoveReply:
        """Make users leave."""
        return await self._ready().send(command)

    async def dismiss(self, command: Dismiss) -> DismissReply:
        """Dissolve a room."""
        return await self._ready().send(command)

    def _ready(self) -> CommandClient:
        if self._client is None:
            raise UnavailableError("there is no event stream yet")
        return self._client

    async def _find_stream(self, connection: Client, fail: Callable[[str], None]) -> None:
        stream = EventStream(connection)
        while True:
            try:
                self._client = CommandClient(connection, await stream.partitions())
            except (NotFoundError, UnavailableError) as error:
                log.info("stream_waits", reason=str(error) or type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
            except ConfigurationError as error:
                fail(str(error))
                return
            else:
                return

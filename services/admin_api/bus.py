"""The registry, over NATS."""

from nats.aio.client import Client

from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import UnavailableError
from shared.contracts.replies import DismissReply, RemoveReply


class BusRegistry:
    """Sends commands to the owners of partitions, once the stream has said how many there are."""

    def __init__(self) -> None:
        self._client: CommandClient | None = None

    async def start(self, connection: Client) -> None:
        """Wait for the stream.

        Raises:
            ConfigurationError: there is one that cannot be ours.
        """
        self._client = CommandClient(connection, await EventStream(connection).wait_for_partitions())

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

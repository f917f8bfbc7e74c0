"""The registry, over NATS."""

from contextlib import AbstractAsyncContextManager

from nats.aio.client import Client

from shared.bus.stream import EventStream
from shared.clients.answers import Answers
from shared.clients.commands import CommandClient
from shared.clients.gathering import Gathering
from shared.clients.receipts import Receipts
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import UnavailableError
from shared.contracts.replies import AnswerReply, DismissReply, RemoveReply


class BusRegistry:
    """Sends commands to the owners of partitions, once the stream has said how many there are, and hears of receipts."""

    def __init__(self) -> None:
        self._client: CommandClient | None = None
        self._answers: Answers | None = None
        self._receipts: Receipts | None = None

    async def start(self, connection: Client) -> None:
        """Wait for the stream.

        Raises:
            ConfigurationError: there is one that cannot be ours.
        """
        self._answers = Answers(connection)
        self._receipts = Receipts(connection)
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

    async def answer(self, app: int, command: str, seconds: float) -> AnswerReply:
        """Ask what a command was answered."""
        if self._answers is None:
            raise UnavailableError("there is no connection yet")
        return await self._answers.ask(app, command, seconds)

    def gathering(self, app: int, command: str) -> AbstractAsyncContextManager[Gathering]:
        """Listen for the receipts of a command that is about to be sent."""
        return self._stored().gathering(app, command)

    async def read(self, app: int, command: str, into: Gathering) -> None:
        """Add what is stored of a command."""
        await self._stored().read(app, command, into)

    def _stored(self) -> Receipts:
        if self._receipts is None:
            raise UnavailableError("there is no event stream yet")
        return self._receipts

    def _ready(self) -> CommandClient:
        if self._client is None:
            raise UnavailableError("there is no event stream yet")
        return self._client

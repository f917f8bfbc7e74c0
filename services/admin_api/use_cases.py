"""What the actions do: one command each, sent to the registry until it answers, and the receipts of what it caused."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import structlog

from services.admin_api.errors import ApiError, Code
from services.admin_api.requests import DismissRequest, RemoveRequest, RemoveUser, RemoveUserByStrRoomId, Request
from shared.clients.gathering import Gathering
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import UnavailableError
from shared.contracts.replies import DismissReply, RemoveReply

log = structlog.get_logger()

_SOON_SECONDS = 0.05
"""How long receipts are listened for before the stream is asked: those of a command sent again are there already."""


class Registry(Protocol):
    """Who decides. Sends a command until it is answered or expires."""

    async def remove(self, command: Remove) -> RemoveReply:
        """Make users leave."""
        ...

    async def dismiss(self, command: Dismiss) -> DismissReply:
        """Dissolve a room."""
        ...


class Receipts(Protocol):
    """Where gateways report. Both raise UnavailableError."""

    def gathering(self, app: int, command: str) -> AbstractAsyncContextManager[Gathering]:
        """Listen for the receipts of a command that is about to be sent."""
        ...

    async def read(self, app: int, command: str, into: Gathering) -> None:
        """Add what is stored of a command."""
        ...


class Order(NamedTuple):
    """An administrator's command, as it is asked for."""

    command: str
    """Its id: the same for every replay of one signed request."""
    correlation: str
    """The RequestId: the same from the HTTP request to the browser's message."""
    allowed_app: int
    """The app of the credential that signed."""


class Outcome(NamedTuple):
    """What a command has come to, as far as it is known in time."""

    command: str
    reply: RemoveReply | DismissReply
    receipts: Gathering


class Administration:
    """The administrator's commands on rooms.

    Args:
        registry: decides them.
        receipts: say what came of them.
        clock: Unix time in milliseconds.
        seconds: how long the registry may take.
        receipt_seconds: how long receipts are waited for after its answer.
    """

    def __init__(self, registry: Registry, receipts: Receipts, *, clock: Callable[[], int], seconds: float, receipt_seconds: float) -> None:
        self._registry = registry
        self._receipts = receipts
        self._clock = clock
        self._milliseconds = int(seconds * 1000)
        self._receipt_seconds = receipt_seconds

    async def carry_out(self, request: Request, order: Order) -> Outcome:
        """Carry a request out. Returns what the registry answered, and the receipts that came in time.

        Raises:
            ApiError: the room belongs to another app than the credential.
            RefusedError: the registry decided, and the answer is no.
            UnavailableError: the registry did not answer in time.
        """
        if request.app != order.allowed_app:
            raise ApiError(Code.UNAUTHORIZED_APP, "This SecretId has no permission to operate this SdkAppId.")
        async with self._receipts.gathering(request.app, order.command) as gathering:
            if isinstance(request, RemoveUser | RemoveUserByStrRoomId):
                reply: RemoveReply | DismissReply = await self._remove(request, order)
            else:
                reply = await self._dismiss(request, order)
            await self._gather(request.app, order.command, gathering, _count(reply))
        return Outcome(order.command, reply, gathering)

    async def _remove(self, request: RemoveRequest, order: Order) -> RemoveReply:
        command = Remove(
            id=order.command,
            correlation=order.correlation,
            expires_at=self._expiry(),
            app=request.app,
            room=request.room,
            users=request.users,
        )
        return await self._registry.remove(command)

    async def _dismiss(self, request: DismissRequest, order: Order) -> DismissReply:
        command = Dismiss(id=order.command, correlation=order.correlation, expires_at=self._expiry(), app=request.app, room=request.room)
        return await self._registry.dismiss(command)

    async def _gather(self, app: int, command: str, gathering: Gathering, expected: int) -> None:
        """Wait until every browser was told, or for as long as a caller may be kept waiting."""
        soon = min(_SOON_SECONDS, self._receipt_seconds)
        await gathering.until(lambda: gathering.told() >= expected, soon)
        if gathering.told() >= expected:
            return
        try:
            await self._receipts.read(app, command, gathering)
        except UnavailableError as error:
            log.warning("receipts_unread", command=command, reason=str(error))
        await gathering.until(lambda: gathering.told() >= expected, self._receipt_seconds - soon)

    def _expiry(self) -> int:
        return self._clock() + self._milliseconds


def _count(reply: RemoveReply | DismissReply) -> int:
    return reply.sessions if isinstance(reply, DismissReply) else len(reply.removed)

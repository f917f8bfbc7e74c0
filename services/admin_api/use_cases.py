"""What the actions do: one command each, sent to the registry until it answers, and the receipts of what it caused.

Or, without a command, what became of an earlier one.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

import structlog

from services.admin_api.errors import ApiError, Code
from services.admin_api.requests import DescribeReceipt, DismissRequest, RemoveRequest, RemoveUser, RemoveUserByStrRoomId
from shared.clients.gathering import Gathering
from shared.clients.outcomes import all_confirmed, any_pending
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import RefusedError, UnavailableError
from shared.contracts.replies import AnswerReply, DismissReply, Refusal, RemoveReply

log = structlog.get_logger()

_SOON_SECONDS = 0.05
"""How long receipts are listened for before the stream is asked: those of a command sent again are there already."""
_LOST_SECONDS = 0.5
"""How long an answer that lacks a gateway's report waits to hear whether that gateway was lost."""


class Registry(Protocol):
    """Who decides. Sends a command until it is answered or expires."""

    async def remove(self, command: Remove) -> RemoveReply:
        """Make users leave."""
        ...

    async def dismiss(self, command: Dismiss) -> DismissReply:
        """Dissolve a room."""
        ...

    async def answer(self, app: int, command: str, seconds: float) -> AnswerReply:
        """Ask for so long what a command was answered; raises UnavailableError."""
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
    reply: RemoveReply | DismissReply | None
    """None: it is not remembered any more, and receipts are all there is."""
    receipts: Gathering
    lost: frozenset[str] = frozenset()
    """Gateways that were declared lost, of those that have not reported."""


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
        self._seconds = seconds
        self._receipt_seconds = receipt_seconds

    async def carry_out(self, request: RemoveRequest | DismissRequest, order: Order) -> Outcome:
        """Carry a request out. Returns what the registry answered, and the receipts that came in time.

        Raises:
            ApiError: the room belongs to another app than the credential.
            RefusedError: the registry decided, and the answer is no.
            UnavailableError: the registry did not answer in time.
        """
        _check_app(request.app, order.allowed_app)
        async with self._receipts.gathering(request.app, order.command) as gathering:
            if isinstance(request, RemoveUser | RemoveUserByStrRoomId):
                reply: RemoveReply | DismissReply = await self._remove(request, order)
            else:
                reply = await self._dismiss(request, order)
            await self._gather(request.app, order.command, gathering, reply)
        return Outcome(order.command, reply, gathering, await self._lost(request.app, order.command, reply, gathering))

    async def describe(self, request: DescribeReceipt, allowed_app: int) -> Outcome:
        """Say what has become of a command by now.

        Raises:
            ApiError: it was another app's than the credential's, or nothing is known of it.
            RefusedError: it was refused, and is remembered.
            UnavailableError: the registry or the stream of receipts does not answer.
        """
        _check_app(request.app, allowed_app)
        remembered = await self._registry.answer(request.app, request.command, self._seconds)
        if isinstance(remembered.answer, Refusal):
            raise RefusedError(remembered.answer.code, remembered.answer.message)
        reply = remembered.answer if isinstance(remembered.answer, RemoveReply | DismissReply) else None
        gathering = Gathering()
        await self._receipts.read(request.app, request.command, gathering)
        if reply is None and not gathering.sessions:
            raise ApiError(Code.COMMAND_NOT_FOUND, "There is no such command, or nothing is known of it any more.")
        return Outcome(request.command, reply, gathering, frozenset(remembered.lost))

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

    async def _gather(self, app: int, command: str, gathering: Gathering, reply: RemoveReply | DismissReply) -> None:
        """Wait until everything is confirmed, or for as long as a caller may be kept waiting."""

        def complete() -> bool:
            return all_confirmed(reply, gathering)

        soon = min(_SOON_SECONDS, self._receipt_seconds)
        await gathering.until(complete, soon)
        if complete():
            return
        try:
            await self._receipts.read(app, command, gathering)
        except UnavailableError as error:
            log.warning("receipts_unread", command=command, reason=str(error))
        await gathering.until(complete, self._receipt_seconds - soon)

    async def _lost(self, app: int, command: str, reply: RemoveReply | DismissReply, gathering: Gathering) -> frozenset[str]:
        """Ask for the gateways that were lost, where one has not reported."""
        if not any_pending(reply, gathering):
            return frozenset()
        try:
            return frozenset((await self._registry.answer(app, command, _LOST_SECONDS)).lost)
        except UnavailableError as error:
            log.warning("lost_gateways_unknown", command=command, reason=str(error))
            return frozenset()

    def _expiry(self) -> int:
        return self._clock() + int(self._seconds * 1000)


def _check_app(app: int, allowed: int) -> None:
    if app != allowed:
        raise ApiError(Code.UNAUTHORIZED_APP, "This SecretId has no permission to operate this SdkAppId.")

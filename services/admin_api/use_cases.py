"""What the actions do: one command each, sent to the registry until it answers."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from services.admin_api.errors import ApiError, Code
from services.admin_api.requests import DismissRequest, RemoveRequest, RemoveUser, RemoveUserByStrRoomId, Request
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.replies import DismissReply, RemoveReply


class Registry(Protocol):
    """Who decides. Sends a command until it is answered or expires."""

    async def remove(self, command: Remove) -> RemoveReply:
        """Make users leave."""
        ...

    async def dismiss(self, command: Dismiss) -> DismissReply:
        """Dissolve a room."""
        ...


class Order(NamedTuple):
    """An administrator's command, as it is asked for."""

    command: str
    """Its id, chosen here."""
    correlation: str
    """The RequestId: the same from the HTTP request to the browser's message."""
    allowed_app: int
    """The app of the credential that signed."""


class Administration:
    """The administrator's commands on rooms.

    Args:
        registry: decides them.
        clock: Unix time in milliseconds.
        seconds: how long the registry may take.
    """

    def __init__(self, registry: Registry, clock: Callable[[], int], seconds: float) -> None:
        self._registry = registry
        self._clock = clock
        self._milliseconds = int(seconds * 1000)

    async def carry_out(self, request: Request, order: Order) -> RemoveReply | DismissReply:
        """Carry a request out. Returns what the registry answered.

        Raises:
            ApiError: the room belongs to another app than the credential.
            RefusedError: the registry decided, and the answer is no.
            UnavailableError: the registry did not answer in time.
        """
        if request.app != order.allowed_app:
            raise ApiError(Code.UNAUTHORIZED_APP, "This SecretId has no permission to operate this SdkAppId.")
        if isinstance(request, RemoveUser | RemoveUserByStrRoomId):
            return await self._remove(request, order)
        return await self._dismiss(request, order)

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

    def _expiry(self) -> int:
        return self._clock() + self._milliseconds

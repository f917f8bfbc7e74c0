"""What all sessions of a gateway share."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from services.edge_gateway.hearing import Hearing
from services.edge_gateway.media.interface import MediaPlane
from services.edge_gateway.membership import Membership
from services.edge_gateway.metrics import GatewayMetrics
from services.edge_gateway.receipts import ReceiptBook
from services.edge_gateway.relays import Relays
from services.edge_gateway.room import LocalRooms
from shared.clients.commands import CommandClient
from shared.contracts.ids import RoomKey
from shared.tracing import Tracer


@dataclass(frozen=True)
class House:
    """One boot of a gateway, as its sessions see it."""

    gateway: str
    """This boot's gateway id."""
    commands: CommandClient
    media: MediaPlane
    rooms: LocalRooms
    relays: Relays
    receipts: ReceiptBook
    hearing: Hearing
    metrics: GatewayMetrics
    tracer: Tracer
    new_id: Callable[[], str]
    new_token: Callable[[RoomKey, str], str]
    expires_at: Callable[[float], int]
    """Seconds from now to Unix time in milliseconds."""
    codecs: tuple[str, ...] = ()
    """What may be published, in the order of preference."""
    streams_per_room: int = 1_000
    """That may be published at a time."""
    background: set[asyncio.Task[None]] = field(default_factory=set)
    """Work that outlives the session it is for; the gateway waits for it when it ends."""

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that nobody waits for."""
        task = asyncio.create_task(work)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    def membership(self, key: RoomKey, session: str, correlation: str) -> Membership:
        """Make a session's place in the registry."""
        return Membership(
            commands=self.commands,
            tracer=self.tracer,
            gateway=self.gateway,
            key=key,
            session=session,
            correlation=correlation,
            new_id=self.new_id,
            expires_at=self.expires_at,
        )

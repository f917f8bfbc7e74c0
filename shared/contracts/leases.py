"""Leases: who is there to do the work."""

from typing import Annotated

from pydantic import Field, StringConstraints

from shared.contracts.ids import GatewayId
from shared.contracts.messages import Message


class Lease(Message):
    """A registry replica says that it is there, or that it is about to go."""

    replica: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    leaving: bool = False


class GatewayLease(Message):
    """A gateway is there. Stored, one a boot; each renewal is another revision, and nothing else about it counts."""

    gateway: GatewayId
    isolation_grace: Annotated[float, Field(ge=0)] | None = None
    """Seconds without the bus after which it stops forwarding by itself; None is never."""
    reconnect_grace: Annotated[float, Field(ge=0)]
    """Seconds that its sessions outlive their browsers' silence."""
    gone: bool = False
    """It has ended in order: nothing is forwarded any more."""

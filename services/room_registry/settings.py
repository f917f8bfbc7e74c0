"""What a registry is told."""

from typing import Annotated, Literal

from pydantic import Field

from services.room_registry.domain.partition import Limits
from services.room_registry.watch import Graces
from shared.settings import Settings


class RegistrySettings(Settings):
    """Settings of one registry process."""

    port: int = Field(default=8083, ge=0, le=65535)
    partitions: int = Field(default=8, ge=1, le=1024)
    """How many partitions a new stream gets. An existing stream keeps its own number."""
    stream_replicas: int = Field(default=1, ge=1, le=5)
    stream_max_bytes: int = Field(default=-1, ge=-1)
    """When the stream is full, new commands are refused; -1 is no limit but the disk."""
    snapshot_every: int = Field(default=10_000, ge=1)
    """Messages of a partition between two snapshots of it."""
    event_retention_hours: float = Field(default=24.0, ge=0)
    """How long messages stay in the stream, though a snapshot covers them: for consumers that come later."""
    lease_seconds: float = Field(default=2.0, gt=0)
    """How long a registry that says nothing counts as there. The stream's fence decides who writes, whatever this says."""
    isolation_margin: float = Field(default=15.0, ge=0)
    """Seconds beyond a gateway's isolation grace before it is declared lost: clocks drift, and a deposed leader answers for a while."""
    isolation_grace: Annotated[float, Field(gt=0)] | Literal["never"] = 30.0
    """Of gateways that have no lease; the others say their own."""
    reconnect_grace: float = Field(default=30.0, ge=0, le=600)
    """The same."""
    max_sessions_per_room: int = Field(default=20_000, ge=1)
    max_anchors_per_room: int = Field(default=1_000, ge=1, le=2_000)
    max_sessions_per_user: int = Field(default=50, ge=1, le=50)
    rooms_span_gateways: bool = False
    """Let people join a room at a gateway that has nobody of it, though others have: they do not see each other's streams."""

    def limits(self) -> Limits:
        """Return the bounds for one partition."""
        return Limits(
            sessions_per_room=self.max_sessions_per_room,
            anchors_per_room=self.max_anchors_per_room,
            sessions_per_user=self.max_sessions_per_user,
            rooms_span_gateways=self.rooms_span_gateways,
        )

    def graces(self) -> Graces:
        """Return what a gateway without a lease is taken to do."""
        return Graces(None if self.isolation_grace == "never" else self.isolation_grace, self.reconnect_grace)

"""What a registry is told."""

from pydantic import Field

from services.room_registry.domain.partition import Limits
from shared.settings import Settings


class RegistrySettings(Settings):
    """Settings of one registry process."""

    port: int = Field(default=8083, ge=0, le=65535)
    partitions: int = Field(default=8, ge=1, le=1024)
    """How many partitions a new stream gets. An existing stream keeps its own number."""
    stream_replicas: int = Field(default=1, ge=1, le=5)
    stream_max_bytes: int = Field(default=-1, ge=-1)
    """When the stream is full, new commands are refused; -1 is no limit but the disk."""
    lease_seconds: float = Field(default=2.0, gt=0)
    """How long a registry that says nothing counts as there. The stream's fence decides who writes, whatever this says."""
    max_sessions_per_room: int = Field(default=20_000, ge=1)
    max_anchors_per_room: int = Field(default=1_000, ge=1, le=2_000)
    max_sessions_per_user: int = Field(default=50, ge=1, le=50)

    def limits(self) -> Limits:
        """Return the bounds for one partition."""
        return Limits(
            sessions_per_room=self.max_sessions_per_room,
            anchors_per_room=self.max_anchors_per_room,
            sessions_per_user=self.max_sessions_per_user,
        )

"""Snapshots as they are stored: parts of a compressed text, a head that says when it is whole, and what was deleted since."""

from typing import Annotated

from pydantic import Field, StringConstraints

from shared.contracts.messages import Message

SNAPSHOT_VERSION = 1


class SnapshotHead(Message):
    """Written last: the snapshot of a partition is complete."""

    version: int = SNAPSHOT_VERSION
    seq: Annotated[int, Field(ge=1)]
    """Of the last message of the stream that it covers."""
    parts: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=1)]
    """Bytes of all parts together."""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Of all parts, one after the other."""


class EventsDeleted(Message):
    """Written before messages of a partition are deleted: without a snapshot that covers them nobody may serve it."""

    below: Annotated[int, Field(ge=1)]
    """The first sequence of the partition that was kept."""

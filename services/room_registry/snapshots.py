"""Snapshots in their stream: written in parts, read back before anybody relies on them, and then what they cover deleted.

A snapshot is lines of text, compressed, cut into parts, and a head with their checksum, which is written last. Whoever
finds no whole one whose checksum is right has none. A message of the event stream is deleted only when a snapshot that was
read back covers it, and the last message of a partition never is: an empty subject would disarm the fence.
"""

import asyncio
import datetime as dt
import hashlib
import json
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from nats.aio.client import Client
from nats.js import api
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from shared.bus.stream import ensure_stream, read_batch
from shared.bus.unavailable import or_unavailable
from shared.contracts.errors import StagedoorError, UnavailableError
from shared.contracts.snapshots import SNAPSHOT_VERSION, EventsDeleted, SnapshotHead
from shared.contracts.subjects import SNAPSHOT_STREAM, SNAPSHOTS, STREAM, partition_events, snapshot_subject

log = structlog.get_logger()

PART_BYTES = 512 * 1024
MAX_BYTES = 1 << 30
"""Uncompressed. A text that is larger is none of ours."""
_HEAD = "head"
_DELETED = "deleted"
_NO_SEQ = 0
_READ_PARTS = 16
_LINES_AT_ONCE = 500
_SECONDS = 10.0


class SnapshotBrokenError(StagedoorError):
    """What was written could not be read back."""


class Snapshot(NamedTuple):
    """What a partition had come to."""

    seq: int
    """Of the last message that it covers."""
    lines: list[bytes]


class Snapshots:
    """Snapshots over one connection."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=_SECONDS)

    async def ensure(self, replicas: int) -> None:
        """Create the stream of snapshots where it is missing.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        config = api.StreamConfig(
            name=SNAPSHOT_STREAM,
            subjects=[SNAPSHOTS.subscription()],
            storage=api.StorageType.FILE,
            max_msgs_per_subject=1,
            num_replicas=replicas,
            allow_direct=True,
        )
        await ensure_stream(self._connection, config)

    async def write(self, partition: int, seq: int, lines: Iterable[bytes]) -> None:
        """Write a snapshot, read it back, and forget the older ones.

        Args:
            partition: its number.
            seq: of the last message that the lines cover.
            lines: none contains a line feed. Read a few at a time: others have their turn in between.

        Raises:
            UnavailableError: JetStream does not answer; nothing was forgotten.
            SnapshotBrokenError: it could not be read back; nothing was forgotten.
        """
        packer = zlib.compressobj()
        digest = hashlib.sha256()
        waiting = bytearray()
        parts = size = 0

        async def put(data: bytes) -> None:
            nonlocal parts, size
            digest.update(data)
            parts, size = parts + 1, size + len(data)
            await self._publish(snapshot_subject(partition, seq, parts), data)

        for number, line in enumerate(lines, start=1):
            waiting += packer.compress(line + b"\n")
            while len(waiting) >= PART_BYTES:
                await put(bytes(waiting[:PART_BYTES]))
                del waiting[:PART_BYTES]
            if number % _LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        waiting += packer.flush()
        for start in range(0, len(waiting), PART_BYTES):
            await put(bytes(waiting[start : start + PART_BYTES]))
        head = SnapshotHead(seq=seq, parts=parts, size=size, sha256=digest.hexdigest())
        await self._publish(snapshot_subject(partition, seq, _HEAD), head.to_bytes())
        await self._read_back(partition, seq)

    async def newest(self, partition: int) -> Snapshot | None:
        """Read the newest snapshot that is whole.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        stored = await self._stored(partition)
        for seq in sorted(stored, reverse=True):
            if (lines := _unpack(partition, seq, stored[seq])) is not None:
                return Snapshot(seq, lines)
        return None

    async def deleted_below(self, partition: int) -> int:
        """Return the first sequence of a partition that may still be there; 0 where nothing was deleted.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        subject = snapshot_subject(partition, _NO_SEQ, _DELETED)
        with or_unavailable("reading what was deleted"):
            try:
                message = await self._js.get_last_msg(SNAPSHOT_STREAM, subject)
            except NotFoundError:
                return 0
        return EventsDeleted.model_validate_json(message.data or b"").below

    async def delete_events(self, partition: int, covered: int, before: dt.datetime) -> int:
        """Delete what a snapshot covers and retention does not ask for. Returns the first sequence that was kept.

        Args:
            partition: its number.
            covered: the sequence that a snapshot, read back, covers. This message itself stays.
            before: messages since then stay.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        kept = await self._first_since(partition, before)
        below = covered if kept is None else min(kept, covered)
        if below <= await self.deleted_below(partition):
            return below
        await self._publish(snapshot_subject(partition, _NO_SEQ, _DELETED), EventsDeleted(below=below).to_bytes())
        await self._purge(STREAM, partition_events(partition), below)
        return below

    async def _read_back(self, partition: int, seq: int) -> None:
        stored = await self._stored(partition)
        if _unpack(partition, seq, stored.get(seq, {})) is None:
            raise SnapshotBrokenError(f"the snapshot of partition {partition} at {seq} could not be read back")
        for older in stored:
            if older < seq:
                await self._purge(SNAPSHOT_STREAM, snapshot_subject(partition, older, "*"))

    async def _stored(self, partition: int) -> dict[int, dict[str, bytes]]:
        """Read everything there is of a partition: by sequence, by part."""
        found: dict[int, dict[str, bytes]] = {}
        after = 0
        while batch := await read_batch(self._connection, SNAPSHOT_STREAM, snapshot_subject(partition, "*", "*"), after, _READ_PARTS):
            for message in batch:
                seq, part = message.subject.split(".")[-2:]
                if part != _DELETED:
                    found.setdefault(int(seq), {})[part] = message.data
            after = batch[-1].seq
        return found

    async def _first_since(self, partition: int, moment: dt.datetime) -> int | None:
        """Ask the leader for the sequence of a partition's first message since a moment."""
        start = moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        request = {"start_time": start, "next_by_subj": partition_events(partition)}
        with or_unavailable("reading the stream"):
            answer = await self._connection.request(f"$JS.API.STREAM.MSG.GET.{STREAM}", json.dumps(request).encode(), timeout=_SECONDS)
        content = json.loads(answer.data)
        if (error := content.get("error")) is not None:
            if error["code"] == 404:
                return None
            raise UnavailableError(f"reading the stream: {error['description']}")
        return int(content["message"]["seq"])

    async def _publish(self, subject: str, data: bytes) -> None:
        with or_unavailable("writing a snapshot"):
            await self._js.publish(subject, data)

    async def _purge(self, stream: str, subject: str, below: int | None = None) -> None:
        with or_unavailable(f"deleting {subject}"):
            await self._js.purge_stream(stream, subject=subject, seq=below)


def _unpack(partition: int, seq: int, parts: dict[str, bytes]) -> list[bytes] | None:
    """Put a snapshot together, if it is whole."""
    if _HEAD not in parts:
        return None
    try:
        head = SnapshotHead.model_validate_json(parts[_HEAD])
        if head.version != SNAPSHOT_VERSION:
            log.warning("snapshot_of_another_version", partition=partition, seq=seq, version=head.version)
            return None
        packed = b"".join(parts[str(number)] for number in range(1, head.parts + 1))
        if len(packed) != head.size or hashlib.sha256(packed).hexdigest() != head.sha256 or head.seq != seq:
            log.error("snapshot_broken", partition=partition, seq=seq)
            return None
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed, MAX_BYTES)
    except (ValidationError, LookupError, zlib.error):
        log.exception("snapshot_unreadable", partition=partition, seq=seq)
        return None
    if not unpacker.eof:
        log.error("snapshot_too_large", partition=partition, seq=seq, limit=MAX_BYTES)
        return None
    return text.split(b"\n")[:-1]

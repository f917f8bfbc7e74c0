"""Keeping snapshots: written for the partitions that this replica serves, read when it starts."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence

import structlog

from services.room_registry.domain.partition import Limits, Partition
from services.room_registry.domain.snapshot import UnreadableSnapshotError, dump, restore
from services.room_registry.owner import Owner
from services.room_registry.replica import CorruptStreamError
from services.room_registry.snapshots import SnapshotBrokenError, Snapshots
from shared.contracts.errors import UnavailableError

log = structlog.get_logger()

_ROUND_SECONDS = 1.0


async def restore_partition(snapshots: Snapshots, number: int, limits: Limits) -> Partition:
    """Make a partition from its newest snapshot; without one it is empty, and to be folded from the beginning.

    Raises:
        CorruptStreamError: messages were deleted that no snapshot covers.
        UnavailableError: JetStream does not answer.
    """
    # In this order: what is deleted later is covered by a later snapshot, too.
    below = await snapshots.deleted_below(number)
    snapshot = await snapshots.newest(number)
    partition = Partition(limits)
    if snapshot is not None:
        try:
            partition = restore(limits, snapshot.lines)
        except UnreadableSnapshotError as error:
            log.error("snapshot_unreadable", partition=number, seq=snapshot.seq, reason=str(error))  # noqa: TRY400 -- the text says it
    if partition.last_seq + 1 < below:
        raise CorruptStreamError(
            f"messages of partition {number} before {below} were deleted, and no snapshot that can be read covers them"
        )
    return partition


class Keeping:
    """Writes a snapshot of a partition each time so many messages have been folded, then deletes what is old.

    Args:
        snapshots: where they are written.
        owners: one for each partition.
        every: so many messages.
        retention: for how long messages stay, though a snapshot covers them.
        now: the time of day.
        measure: told whether a snapshot was written.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        owners: Sequence[Owner],
        *,
        every: int,
        retention: dt.timedelta,
        now: Callable[[], dt.datetime],
        measure: Callable[[bool], None],
    ) -> None:
        self._snapshots = snapshots
        self._owners = owners
        self._every = every
        self._retention = retention
        self._now = now
        self._measure = measure
        self._since = [0] * len(owners)

    def folded(self, number: int) -> None:
        """Count one more message of a partition."""
        self._since[number] += 1

    def uncovered(self, number: int) -> int:
        """Count the messages of a partition since its last snapshot, as far as this process knows."""
        return self._since[number]

    async def keep(self, fail: Callable[[str], None]) -> None:
        """Keep snapshots until cancelled. ``fail`` is told why, if that cannot go on."""
        try:
            while True:
                for owner in self._owners:
                    if owner.serving and self._since[owner.number] >= self._every:
                        await self._take(owner)
                await asyncio.sleep(_ROUND_SECONDS)
        except Exception as error:
            log.exception("keeping_broken")
            fail(f"keeping snapshots broke: {error}")

    async def _take(self, owner: Owner) -> None:
        number, partition = owner.number, owner.partition
        covered, lines = partition.last_seq, dump(partition)
        counted = self._since[number]
        try:
            await self._snapshots.write(number, covered, lines)
            kept = await self._snapshots.delete_events(number, covered, self._now() - self._retention)
        except (UnavailableError, SnapshotBrokenError) as error:
            self._measure(False)
            log.warning("snapshot_waits", partition=number, reason=str(error))
        else:
            self._measure(True)
            self._since[number] -= counted
            log.info("snapshot_taken", partition=number, seq=covered, kept_from=kept)

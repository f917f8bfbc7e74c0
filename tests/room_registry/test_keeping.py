"""A registry that keeps snapshots: what is old is deleted, and the next one begins where they end."""

import asyncio

import pytest

from services.room_registry.app import build
from shared.bus.stream import read_batch
from shared.contracts.errors import RefusedError
from shared.contracts.ids import RoomKey
from shared.contracts.subjects import SNAPSHOT_STREAM, STREAM, partition_events, partition_of, snapshot_subject
from shared.service import ServiceFailedError
from tests.room_registry.conftest import APP, PARTITIONS
from tests.support.running import running

EVERY = 20
MINE = partition_of(RoomKey(APP, 1), PARTITIONS)


@pytest.fixture
def settings(registry_settings):
    return registry_settings.model_copy(update={"snapshot_every": EVERY, "event_retention_hours": 0.0})


async def events(bus):
    return [stored.seq for stored in await read_batch(bus, STREAM, partition_events(MINE), 0, 1000)]


async def until_deleted(bus):
    """Wait until little is left of the partition's messages."""
    async with asyncio.timeout(20):
        while len(await events(bus)) >= EVERY:
            await asyncio.sleep(0.05)


async def churn(caller, pairs):
    for _ in range(pairs):
        await caller.leave(await caller.join("guest"))


async def test_the_next_registry_begins_with_the_snapshot(settings, caller, bus):
    """Who was there is there, what was answered is answered again, who has ended is refused; and the owner can write."""
    async with running(build(settings)):
        ann = await caller.join("ann")
        gone = await caller.join("bob")
        removal = await caller.remove("bob", id="the-removal")
        await churn(caller, EVERY)
        await until_deleted(bus)
        assert await events(bus), "the last message of a partition is never deleted"
    async with running(build(settings)):
        assert await caller.remove("bob", id="the-removal") == removal
        with pytest.raises(RefusedError, match="session_ended"):
            await caller.join("bob", session=gone)
        [left] = (await caller.remove("ann")).removed
        assert left.session == ann


@pytest.mark.parametrize("lost", ["the head", "everything"])
async def test_a_registry_does_not_start_from_half_a_stream(settings, caller, bus, lost):
    """Messages were deleted, and the snapshot that covered them is gone."""
    async with running(build(settings)):
        await churn(caller, EVERY)
        await until_deleted(bus)
    if lost == "everything":
        await bus.jetstream().delete_stream(SNAPSHOT_STREAM)
        # Of what was deleted the first message of all tells, wherever it was.
        await bus.jetstream().purge_stream(STREAM, seq=2)
    else:
        await bus.jetstream().purge_stream(SNAPSHOT_STREAM, subject=snapshot_subject(MINE, "*", "head"))
    with pytest.raises(ServiceFailedError, match="no snapshot"):
        async with asyncio.timeout(20):
            await build(settings).serve()


async def test_nothing_is_deleted_before_its_time(settings, caller, bus):
    """A snapshot is there, and the messages that it covers are, too: consumers may still come for them."""
    kept = settings.model_copy(update={"event_retention_hours": 1.0})
    async with running(build(kept)):
        await churn(caller, EVERY)
        before = len(await events(bus))
        async with asyncio.timeout(20):
            while not await read_batch(bus, SNAPSHOT_STREAM, snapshot_subject(MINE, "*", "head"), 0, 10):
                await asyncio.sleep(0.05)
    assert len(await events(bus)) >= before > EVERY

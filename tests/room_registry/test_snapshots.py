"""Snapshots in a real stream: whole or not at all, and nothing deleted that they do not cover."""

import datetime as dt
import hashlib

import pytest

from services.room_registry import snapshots
from services.room_registry.snapshots import SnapshotBrokenError, Snapshots
from shared.bus.stream import EventStream, read_batch
from shared.contracts.subjects import SNAPSHOT_STREAM, STREAM, partition_events, snapshot_subject

LINES = [b'{"room":%d}' % number for number in range(10_000)]


@pytest.fixture
async def store(bus):
    store = Snapshots(bus)
    await store.ensure(1)
    return store


@pytest.fixture
async def stream(bus):
    stream = EventStream(bus)
    await stream.ensure(2)
    return stream


async def kept(bus, partition):
    return [stored.seq for stored in await read_batch(bus, STREAM, partition_events(partition), 0, 100)]


async def committed(bus, partition, count):
    return [(await bus.jetstream().publish(f"stagedoor.v1.evt.{partition}.1.n1.join", b"{}")).seq for _ in range(count)]


async def parts(bus, partition):
    return [stored.subject for stored in await read_batch(bus, SNAPSHOT_STREAM, snapshot_subject(partition, "*", "*"), 0, 100)]


async def test_what_is_written_is_read_in_as_many_parts_as_it_takes(store, bus, monkeypatch):
    monkeypatch.setattr(snapshots, "PART_BYTES", 1000)
    lines = [hashlib.sha512(b"%d" % number).hexdigest().encode() for number in range(1000)]
    assert await store.newest(0) is None
    await store.write(0, 7, lines)
    assert len(await parts(bus, 0)) > 20
    assert await store.newest(0) == (7, lines)
    assert await store.newest(1) is None


async def test_a_newer_one_takes_the_place_of_the_older(store, bus):
    await store.write(0, 7, LINES)
    await store.write(1, 8, LINES)
    await store.write(0, 9, LINES[:5])
    assert await store.newest(0) == (9, LINES[:5])
    assert await store.newest(1) == (8, LINES)
    assert all(".9." in subject for subject in await parts(bus, 0))


@pytest.mark.parametrize("part", ["1", "head"])
async def test_one_that_is_not_whole_is_none_and_the_one_before_counts(store, bus, part):
    await store.write(0, 7, LINES)
    older = {stored.subject: stored.data for stored in await read_batch(bus, SNAPSHOT_STREAM, snapshot_subject(0, 7, "*"), 0, 100)}
    await store.write(0, 9, LINES[:5])
    for subject, data in older.items():
        await bus.jetstream().publish(subject, data)
    await bus.jetstream().publish(snapshot_subject(0, 9, part), b"something else")
    assert await store.newest(0) == (7, LINES)


async def test_what_cannot_be_read_back_replaces_nothing(store, bus, monkeypatch):
    await store.write(0, 7, LINES)
    publish = store._publish

    async def damaging(subject, data):
        await publish(subject, data if subject.endswith("head") else data[:-1] + b"!")

    monkeypatch.setattr(store, "_publish", damaging)
    with pytest.raises(SnapshotBrokenError):
        await store.write(0, 9, LINES)
    assert await store.newest(0) == (7, LINES)


async def test_only_what_is_covered_and_old_enough_is_deleted_and_never_the_last_message(store, stream, bus):
    mine = await committed(bus, 0, 4)
    others = await committed(bus, 1, 2)
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    assert await store.delete_events(0, mine[-1], long_ago) == mine[0]
    assert await kept(bus, 0) == mine

    soon = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    assert await store.delete_events(0, mine[2], soon) == mine[2]
    assert await kept(bus, 0) == mine[2:]
    assert await store.deleted_below(0) == mine[2]

    await store.delete_events(0, mine[-1], soon)
    assert await kept(bus, 0) == mine[-1:]
    assert await kept(bus, 1) == others
    assert await store.deleted_below(1) == 0

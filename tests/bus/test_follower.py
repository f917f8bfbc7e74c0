"""Following the stream over a real nats-server: what rounds are for, and what was deleted."""

import asyncio

import pytest

from shared.bus.follower import Follower, StreamTrimmedError
from shared.bus.stream import EventStream
from shared.contracts.errors import UnavailableError
from shared.contracts.subjects import STREAM

EVENT = "stagedoor.v1.evt.{}._._.epoch"


@pytest.fixture
async def stream(bus):
    stream = EventStream(bus)
    await stream.ensure(2)
    return stream


async def commit(bus, count, partition=0):
    for _ in range(count):
        await bus.jetstream().publish(EVENT.format(partition), b"{}")


class Applied(list):
    """What was applied, and a way to wait for it."""

    def __init__(self):
        super().__init__()
        self.changed = asyncio.Event()

    def __call__(self, stored):
        self.append(stored.seq)
        self.changed.set()

    async def until(self, seq):
        async with asyncio.timeout(10):
            while not self or self[-1] < seq:
                self.changed.clear()
                await self.changed.wait()


async def test_only_a_confirmed_round_counts_as_having_heard(bus, stream):
    """Its last step may fail: then nothing was heard, though everything is applied."""
    applied, answers = Applied(), asyncio.Queue()

    async def confirm(began):
        if (answer := await answers.get()) is not None:
            raise answer
        began_at.append(began)

    began_at = []
    follower = Follower(bus, stream, applied, confirm)
    await follower.start()
    running = asyncio.create_task(follower.run())
    answers.put_nowait(UnavailableError("the lease was not renewed"))
    await commit(bus, 1)
    await applied.until(1)
    assert follower.heard_at == float("-inf")
    answers.put_nowait(None)
    async with asyncio.timeout(10):
        await follower.heard()
    assert follower.heard_at == began_at[0]
    running.cancel()


async def test_a_round_that_waits_keeps_nobody_from_hearing(bus, stream):
    """What is committed meanwhile is applied at once."""
    applied, hanging = Applied(), asyncio.Event()

    async def confirm(_began):
        hanging.set()
        await asyncio.Event().wait()

    follower = Follower(bus, stream, applied, confirm)
    await follower.start()
    running = asyncio.create_task(follower.run())
    async with asyncio.timeout(10):
        await hanging.wait()
    await commit(bus, 3)
    await applied.until(3)
    running.cancel()


@pytest.mark.parametrize("after", [0, 2, 5])
async def test_what_was_deleted_is_passed_over(bus, stream, after):
    """A snapshot covers it; what is still there is applied, and then what comes."""
    await commit(bus, 4, partition=0)
    await commit(bus, 1, partition=1)
    await commit(bus, 4, partition=0)
    await bus.jetstream().purge_stream(STREAM, subject="stagedoor.v1.evt.0.>", seq=8)
    applied = Applied()
    follower = Follower(bus, stream, applied)
    await follower.start(after)
    await follower.catch_up()
    running = asyncio.create_task(follower.run())
    await commit(bus, 1)
    await applied.until(10)
    assert applied == [seq for seq in (5, 8, 9, 10) if seq > after]
    running.cancel()


async def test_who_was_away_for_so_long_that_messages_were_deleted_does_not_go_on(bus, stream):
    """What he missed may have been a removal: he begins anew."""
    applied = Applied()
    follower = Follower(bus, stream, applied)
    await follower.start()
    await commit(bus, 6)
    await bus.jetstream().purge_stream(STREAM, subject="stagedoor.v1.evt.0.>", seq=4)
    with pytest.raises(StreamTrimmedError):
        await follower.catch_up()
    assert applied == []


async def test_nor_does_one_who_has_caught_up_once(bus, stream):
    """Only what was deleted before he began is for a snapshot to cover."""
    await commit(bus, 3)
    await bus.jetstream().purge_stream(STREAM, subject="stagedoor.v1.evt.0.>", seq=3)
    applied = Applied()
    follower = Follower(bus, stream, applied)
    await follower.start(0)
    await follower.catch_up()
    assert applied == [3]
    await commit(bus, 3)
    await bus.jetstream().purge_stream(STREAM, subject="stagedoor.v1.evt.0.>", seq=6)
    with pytest.raises(StreamTrimmedError):
        await follower.catch_up()

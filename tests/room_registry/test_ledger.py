"""The fence, on a real stream: who does not know the last message writes nothing."""

import pytest

from services.room_registry.domain.decisions import Entry
from services.room_registry.ledger import BATCH_FROM, Ledger
from shared.bus.stream import EventStream
from shared.contracts.commands import Verb
from shared.contracts.errors import FencedError
from shared.contracts.facts import Committed
from shared.contracts.ids import RoomKey


def entries(count):
    return [Entry(RoomKey(1, 1), Verb.JOIN, Committed(command=f"c{number}", correlation="c", at=0)) for number in range(count)]


@pytest.mark.parametrize("count", [1, 3, BATCH_FROM])
async def test_who_expects_another_last_message_writes_nothing(bus, count):
    """One by one and together; the writer that is right goes on, and other partitions are none of its business."""
    stream = EventStream(bus)
    await stream.ensure(2)
    ledger = Ledger(bus)
    epoch = await ledger.begin(0, entries(1)[0])
    written = await ledger.commit(0, epoch, entries(count))
    await ledger.begin(1, entries(1)[0])
    last = await stream.last_seq()
    for stale in (0, epoch):
        with pytest.raises(FencedError):
            await ledger.commit(0, stale, entries(count))
    assert await stream.last_seq() == last
    assert len(await ledger.commit(0, written[-1], entries(count))) == count


async def test_an_epoch_ends_every_other_writers_expectation(bus):
    """Also of one that was right a moment ago: it was frozen, and wakes up."""
    await EventStream(bus).ensure(1)
    frozen, successor = Ledger(bus), Ledger(bus)
    expected = await frozen.begin(0, entries(1)[0])
    await successor.begin(0, entries(1)[0])
    with pytest.raises(FencedError):
        await frozen.commit(0, expected, entries(1))

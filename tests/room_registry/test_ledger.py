"""The fence, on a real stream: who does not know the last message writes nothing."""

import pytest

from services.room_registry.ledger import Ledger
from shared.bus.stream import EventStream
from shared.contracts.commands import Verb
from shared.contracts.errors import FencedError
from shared.contracts.events import Event
from shared.contracts.facts import Committed
from shared.contracts.ids import RoomKey


def events(count):
    return [Event(RoomKey(1, 1), Verb.JOIN, Committed(command=f"c{number}", correlation="c", at=0)) for number in range(count)]


async def commit(ledger, partition, expected, events):
    return [committed async for committed in ledger.commit(partition, expected, events)]


@pytest.mark.parametrize("count", [1, 3, 300])
async def test_who_expects_another_last_message_writes_nothing(bus, count):
    """Alone, together, and more than one message takes; the writer that is right goes on, and other partitions are none of its business."""
    stream = EventStream(bus)
    await stream.ensure(2)
    ledger = Ledger(bus)
    epoch = await ledger.begin(0, events(1)[0])
    *_, (written, _) = await commit(ledger, 0, epoch, events(count))
    await ledger.begin(1, events(1)[0])
    last = await stream.last_seq()
    for stale in (0, epoch):
        with pytest.raises(FencedError):
            await commit(ledger, 0, stale, events(count))
    assert await stream.last_seq() == last
    assert [event for _, held in await commit(ledger, 0, written, events(count)) for event in held] == events(count)


async def test_an_epoch_ends_every_other_writers_expectation(bus):
    """Also of one that was right a moment ago: it was frozen, and wakes up."""
    await EventStream(bus).ensure(1)
    frozen, successor = Ledger(bus), Ledger(bus)
    expected = await frozen.begin(0, events(1)[0])
    await successor.begin(0, events(1)[0])
    with pytest.raises(FencedError):
        await commit(frozen, 0, expected, events(1))

"""The stream in memory of the model tests, held against a real server: the same publishes, the same answers, the same stream."""

import random

import pytest

from services.room_registry.ledger import Ledger
from shared.bus.stream import EventStream
from shared.contracts.commands import Verb
from shared.contracts.errors import StagedoorError
from shared.contracts.events import Event
from shared.contracts.facts import Committed
from shared.contracts.ids import RoomKey
from tests.support.memory_stream import MemoryConnection, MemoryStream

STEPS = 150


def events(number, count):
    return [
        Event(RoomKey(1, "a.b"), Verb.JOIN, Committed(command=f"c{number}-{index}", correlation="c", at=number)) for index in range(count)
    ]


async def commit(ledger, partition, expected, several):
    return [committed async for committed in ledger.commit(partition, expected, several)]


async def outcome(writing):
    try:
        return await writing
    except StagedoorError as error:
        return type(error)


@pytest.mark.parametrize("seed", range(3))
async def test_it_answers_as_a_server_does(bus, seed):
    chance = random.Random(seed)  # noqa: S311 -- a schedule, not a secret
    stream = EventStream(bus)
    await stream.ensure(2)
    memory = MemoryStream()
    real, played = Ledger(bus), Ledger(MemoryConnection(memory))
    last = [0, 0]
    kinds = set()
    for number in range(STEPS):
        partition = chance.randrange(2)
        several = events(number, chance.choice([1, 1, 2, 3, 12, 700]))
        if chance.random() < 0.1:
            both = [await outcome(ledger.begin(partition, several[0])) for ledger in (real, played)]
        else:
            expected = chance.choice([last[partition], last[partition], last[partition], 0, max(0, last[partition] - 1), max(last)])
            both = [await outcome(commit(ledger, partition, expected, several)) for ledger in (real, played)]
        assert both[0] == both[1], number
        kinds.add(type(both[0]))
        if not isinstance(both[0], type):
            last[partition] = both[0][-1][0] if isinstance(both[0], list) else both[0]
    assert kinds == {list, int, type}
    assert [stored[:3] async for stored in stream.read(0, await stream.last_seq())] == memory.messages

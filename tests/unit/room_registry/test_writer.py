"""The writer's fence, step by step: the stream is in memory, and the test decides what happens between two publishes."""

import inspect

import pytest
import structlog

from services.room_registry.ahead import Loss
from services.room_registry.domain.partition import Limits, Partition
from services.room_registry.ledger import Ledger
from services.room_registry.writer import Writer
from shared.contracts.commands import Join, Leave, Role
from shared.contracts.errors import RefusalCode
from shared.contracts.events import read_events
from shared.contracts.facts import MAX_EVENTS_PER_MESSAGE
from shared.contracts.reasons import LeaveReason
from tests.support.memory_stream import Fate, MemoryConnection, MemoryStream, point
from tests.unit.room_registry.world import APP, EDGE, OTHER, session

ROOMS = 5


class Replica:
    """A writer, and what it follows."""

    def __init__(self, stream, name, **limits):
        self.stream = stream
        self.partition = Partition(Limits(**limits))
        self.writer = Writer(
            0,
            self.partition,
            Ledger(MemoryConnection(stream)),
            catch_up=self.catch_up,
            name=name,
            clock=lambda: 1_000,
            new_id=lambda: f"{name}-{len(stream.messages)}",
            back_off=point,
        )

    async def catch_up(self):
        self.follow()

    def follow(self):
        for seq, subject, data in self.stream.messages[self.partition.last_seq :]:
            self.partition.fold(seq, read_events(subject, data))
        self.writer.yielded()


def finish(coroutine):
    """Carry everything out; returns what the coroutine returns."""
    try:
        while True:
            coroutine.send(None if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED else Fate.ANSWERED)
    except StopIteration as end:
        return end.value


def join(number, gateway):
    room = number % ROOMS + 1
    return Join(
        id=f"join-{number}", app=APP, room=room, session=session(number), user=f"user-{number}", role=Role.AUDIENCE, gateway=gateway
    )


def leave(number):
    return Leave(id=f"leave-{number}", app=APP, room=number % ROOMS + 1, session=session(number), reason=LeaveReason.LEFT)


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


def test_what_takes_two_messages_is_fenced_though_a_stranger_was_folded_between_them():
    """The second message follows the first one, not whatever the partition has folded since."""
    stream = MemoryStream()
    mine, theirs = Replica(stream, "mine"), Replica(stream, "theirs")
    finish(mine.writer.take_over())
    for number in range(ROOMS):
        mine.writer.ask(join(number, EDGE))
        finish(mine.writer.commit())
    for number in range(ROOMS, ROOMS + MAX_EVENTS_PER_MESSAGE - 1):
        mine.writer.ask(join(number, OTHER))
    mine.writer.ask(Loss(EDGE, "lost"))
    committing = mine.writer.commit()
    committing.send(None)
    committing.send(Fate.ANSWERED)
    assert len(stream.messages) == 1 + ROOMS + 1, "the first message is stored, and its answer is on its way"
    finish(theirs.writer.take_over())
    mine.follow()
    replies = finish(committing)
    assert {reply.code for reply in replies} == {RefusalCode.NOT_OWNER}
    assert len(stream.messages) == 1 + ROOMS + 2, "nothing of mine came after their epoch"
    assert not mine.writer.serving


def test_what_is_asked_while_a_commit_is_under_way_is_in_the_next_one():
    """It is decided on what is under way, which the partition may have folded already."""
    stream = MemoryStream()
    replica = Replica(stream, "mine")
    finish(replica.writer.take_over())
    for number in range(2):
        replica.writer.ask(join(number * ROOMS, EDGE))
    committing = replica.writer.commit()
    committing.send(None)
    replica.writer.ask(join(2 * ROOMS, EDGE))
    committing.send(Fate.ANSWERED)
    replica.follow()
    replica.writer.ask(join(3 * ROOMS, EDGE))
    assert [reply.seq for reply in finish(committing)] == [1, 2]
    assert [reply.seq for reply in finish(replica.writer.commit())] == [3, 4]


def test_an_ending_that_is_under_way_is_counted_once():
    """The draft holds it, and the partition below has folded it meanwhile."""
    stream = MemoryStream()
    replica = Replica(stream, "mine", sessions=4)
    finish(replica.writer.take_over())
    for command in [*(join(number, EDGE) for number in range(2)), *(leave(number) for number in range(2))]:
        replica.writer.ask(command)
    committing = replica.writer.commit()
    committing.send(None)
    while len(stream.messages) < 2:
        committing.send(Fate.ANSWERED)
    replica.follow()
    assert len(replica.partition.ended) == 2, "both endings are folded, and the commit is not acknowledged"
    replica.writer.ask(join(2, EDGE))
    finish(committing)
    assert [reply.kind for reply in finish(replica.writer.commit())] == ["join"]

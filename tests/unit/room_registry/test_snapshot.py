"""A partition's lines, and back: nothing is lost between two registries."""

import itertools

import pytest

from services.room_registry.domain.decisions import begin_epoch
from services.room_registry.domain.partition import Limits
from services.room_registry.domain.snapshot import UnreadableSnapshotError, dump, restore
from shared.contracts.commands import Role
from shared.contracts.reasons import LeaveReason
from tests.unit.room_registry.world import EDGE, EDGE_AGAIN, OTHER, World, replay


@pytest.fixture
def world():
    """Something of everything that is remembered."""
    world = World()
    world.join(1, "ann")
    world.join(2, "bob", room="a.b c>d")
    world.join(3, "ann", Role.AUDIENCE)
    world.join(4, "eve")
    world.resume(1, OTHER)
    world.resume(3, OTHER)
    world.switch_role(3, Role.ANCHOR, attachment=2)
    world.leave(4, LeaveReason.TIMED_OUT)
    world.leave(99, LeaveReason.LEFT)
    world.remove("eve", "nobody", id="removal")
    world.join(5, "dan", room=2, gateway=EDGE_AGAIN)
    world.lose(EDGE_AGAIN)
    return world


def lines_of(partition):
    return list(dump(partition))


def test_what_is_restored_is_what_was_dumped(world):
    restored = restore(Limits(), lines_of(world.partition))
    assert lines_of(restored) == lines_of(world.partition)
    assert restored.rooms == world.partition.rooms
    assert restored.live == world.partition.live
    assert restored.gateways() == world.partition.gateways()


def test_it_goes_on_as_if_it_had_folded_all_of_it(world):
    """Whatever the prefix that the snapshot covers."""
    whole = lines_of(replay(world.stream))
    for covered in range(1, len(world.stream)):
        partition = restore(Limits(), lines_of(replay(world.stream[:covered])))
        for seq, entry in enumerate(world.stream, start=1):
            partition.fold(seq, [entry])
        assert lines_of(partition) == whole


def test_what_happens_while_it_is_written_is_not_in_it(world):
    before = lines_of(world.partition)
    writing = dump(world.partition)
    first = list(itertools.islice(writing, 2))
    world.join(6, "zoe")
    world.dismiss()
    assert first + list(writing) == before


def test_restored_memory_is_forgotten_when_its_time_has_come(world):
    restored = restore(Limits(), lines_of(world.partition))
    limits = Limits()
    later = world.now + max(limits.ended_age_ms, limits.answer_age_ms, limits.lost_age_ms)
    for partition in (restored, world.partition):
        entry = begin_epoch(partition, "owner", "again", later)
        partition.fold(partition.last_seq + 1, [entry])
    assert lines_of(restored) == lines_of(world.partition)
    assert len(restored.ended) == len(restored.answers) == len(restored.lost) == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[:0],
        lambda lines: lines[1:],
        lambda lines: lines[:-1],
        lambda lines: [*lines, lines[0]],
        lambda lines: [lines[0], *lines[:-1]],
        lambda lines: [*lines[:-1], b"{}"],
        lambda lines: [*lines[:-1], lines[-1][:-2]],
    ],
)
def test_lines_that_are_not_all_there_are_refused(world, damage):
    with pytest.raises(UnreadableSnapshotError):
        restore(Limits(), damage(lines_of(world.partition)))


def test_the_former_gateways_are_those_that_were(world):
    restored = restore(Limits(), lines_of(world.partition))
    [room] = [room for key, room in restored.rooms.items() if key.room == 1]
    assert EDGE in next(iter(room.sessions.values())).gateways

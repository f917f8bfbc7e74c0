import pytest

from services.edge_gateway.assignments import Assigned, Assignments
from shared.contracts.commands import Role
from shared.contracts.facts import Attached, Dissolved, Joined, Left, SessionEnd
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason

HERE, THERE = "here_" + "0" * 16, "there_" + "0" * 16
ROOM, OTHER_ROOM = RoomKey(1, 1), RoomKey(1, "1")
ANN, BOB = "a" * 32, "b" * 32


class Desk:
    """Assignments of one boot, and what it holds."""

    def __init__(self):
        self.assignments = Assignments(HERE)
        self.held = set()
        self.grace = 30.0
        self.now = 0.0

    def joined(self, session, gateway=HERE, key=ROOM):
        fact = Joined(incarnation="1.1", seq=1, session=session, user="u", role=Role.ANCHOR, gateway=gateway)
        self.assignments.apply(key, fact)

    def attached(self, session, attachment, gateway=HERE):
        fact = Attached(incarnation="1.1", seq=1, session=session, user="u", role=Role.ANCHOR, gateway=gateway, attachment=attachment)
        self.assignments.apply(ROOM, fact)

    def left(self, *sessions):
        ends = tuple(SessionEnd(session=each, user="u", role=Role.ANCHOR, gateway=HERE) for each in sessions)
        self.assignments.apply(ROOM, Left(incarnation="1.1", seq=1, reason=LeaveReason.LEFT, sessions=ends))

    def rounds(self, count, seconds=1.0):
        found = []
        for _ in range(count):
            self.now += seconds
            left = lambda missed_at: missed_at + self.grace - self.now  # noqa: E731
            found += self.assignments.unheld(lambda *held: held in self.held, left, self.now)
        return found


@pytest.fixture
def desk():
    return Desk()


def test_what_is_held_is_left_alone(desk):
    desk.joined(ANN)
    desk.held.add((ANN, 1))
    assert desk.rounds(100) == []


def test_a_first_attachment_that_nobody_holds_is_given_up_at_once_and_once(desk):
    """Two rounds: in the first it may be on its way."""
    desk.joined(ANN)
    assert desk.rounds(1) == []
    assert desk.rounds(10) == [Assigned(ROOM, ANN, 1)]


def test_a_later_one_may_be_resumed_within_the_grace(desk):
    """Its browser has the token."""
    desk.joined(ANN)
    desk.attached(ANN, 2)
    desk.held.add((ANN, 1))
    assert desk.rounds(30) == []
    assert desk.rounds(1) == [Assigned(ROOM, ANN, 2)]


def test_one_that_was_resumed_in_time_is_kept(desk):
    """With a grace of its own when it is lost again."""
    desk.attached(ANN, 2)
    desk.rounds(20)
    desk.attached(ANN, 3)
    desk.held.add((ANN, 3))
    assert desk.rounds(20) == []
    desk.held.clear()
    assert desk.rounds(30) == []
    assert desk.rounds(1) == [Assigned(ROOM, ANN, 3)]


def test_what_ended_or_went_elsewhere_is_nobodys_here(desk):
    desk.joined(ANN)
    desk.joined(BOB)
    desk.attached(ANN, 2, gateway=THERE)
    desk.left(BOB)
    desk.joined("c" * 32, gateway=THERE)
    assert not desk.assignments.has(ROOM, ANN)
    assert desk.rounds(3) == []


def test_a_dissolved_room_ends_its_own_only(desk):
    desk.joined(ANN)
    desk.joined(BOB, key=OTHER_ROOM)
    desk.assignments.apply(ROOM, Dissolved(incarnation="1.1", seq=2))
    assert not desk.assignments.has(ROOM, ANN)
    assert desk.assignments.has(OTHER_ROOM, BOB)

"""Whom a committed fact is posted to: a large audience must not cost each of its members a word about each other one."""

import pytest

from services.edge_gateway.gateway import Gateway
from shared.bus.stream import Stored
from shared.contracts.commands import Role, Verb
from shared.contracts.facts import Attached, Committed, Dissolved, Joined, Left, RoleSwitched, SessionEnd
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.subjects import event_subject

ROOM = RoomKey(1400000001, 1)
EDGE = "edge_" + "0" * 16
PLACE = {"incarnation": "1.1", "seq": 2}


class Member:
    def __init__(self, number):
        self.id = f"{number:032x}"
        self.heard = []

    def post(self, item):
        self.heard.append(item.fact)


@pytest.fixture
def gateway():
    gateway = Gateway(EDGE, pytest.fail)
    gateway.members = [Member(number) for number in range(4)]
    for member in gateway.members:
        member.room = gateway.rooms.enter(ROOM, member)
    return gateway


def hearing(gateway, fact):
    message = Committed(command="c", correlation="c", at=0, app=ROOM.app, room=ROOM.room, facts=(fact,))
    gateway.apply(Stored(1, event_subject(0, ROOM, Verb.JOIN), message.to_bytes()))
    return [number for number, member in enumerate(gateway.members) if member.heard]


def about(number, role):
    return {"session": f"{number:032x}", "user": "ann", "role": role, "gateway": EDGE}


@pytest.mark.parametrize(("role", "heard"), [(Role.ANCHOR, [0, 1, 2, 3]), (Role.AUDIENCE, [2])])
def test_who_comes_in_as_audience_is_seen_by_nobody(gateway, role, heard):
    assert hearing(gateway, Joined(**PLACE, **about(2, role))) == heard


@pytest.mark.parametrize(("roles", "heard"), [([Role.AUDIENCE] * 2, [1, 2]), ([Role.AUDIENCE, Role.ANCHOR], [0, 1, 2, 3])])
def test_nor_is_one_who_leaves(gateway, roles, heard):
    ends = tuple(SessionEnd(**about(number, role)) for number, role in enumerate(roles, start=1))
    assert hearing(gateway, Left(**PLACE, reason=LeaveReason.REMOVED, sessions=ends)) == heard


def test_an_attachment_is_news_to_the_session_alone(gateway):
    assert hearing(gateway, Attached(**PLACE, **about(3, Role.ANCHOR), attachment=2)) == [3]


@pytest.mark.parametrize("fact", [Dissolved(**PLACE), RoleSwitched(**PLACE, **about(1, Role.AUDIENCE))])
def test_the_rest_is_news_to_all(gateway, fact):
    assert hearing(gateway, fact) == [0, 1, 2, 3]

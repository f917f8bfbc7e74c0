"""Whom a committed fact is posted to: a large audience must not cost each of its members a word about each other one."""

import asyncio

import pytest

from services.edge_gateway.gateway import Gateway
from services.edge_gateway.house import House
from services.edge_gateway.metrics import GatewayMetrics
from services.edge_gateway.receipts import ReceiptBook
from services.edge_gateway.room import LocalRooms
from shared.bus.stream import Stored
from shared.contracts.commands import Role, Verb
from shared.contracts.facts import Attached, Committed, Dissolved, Joined, Left, RoleSwitched, SessionEnd
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.subjects import event_subject
from shared.tracing import NoTracer
from tests.support.silent_media import SilentMedia

ROOM = RoomKey(1400000001, 1)
EDGE = "edge_" + "0" * 16
PLACE = {"incarnation": "1.1", "seq": 2}


class Member:
    """Writes down what happens to it."""

    def __init__(self, number, house):
        self.id = f"{number:032x}"
        self.engine_ids = (f"{self.id}.1",)
        self.is_busy = False
        self.heard = []
        self.told = []
        self._house = house

    def post(self, item):
        self.heard.append(item)

    def is_ready_for(self, fact):  # noqa: ARG002 -- the interface's
        return not self.is_busy

    def tell_ended(self, ending):
        assert [call for call in self._house.media.calls if call[1] == self.engine_ids[0]] == [("stop", self.engine_ids[0])]
        self.told.append(ending)


@pytest.fixture
def house():
    return House(
        gateway=EDGE,
        commands=None,
        media=SilentMedia(None, None),
        rooms=LocalRooms(),
        relays=None,
        receipts=ReceiptBook(EDGE, None, lambda: 0, lambda _written: None, pytest.fail),
        hearing=None,
        metrics=GatewayMetrics(),
        tracer=NoTracer(),
        new_id=None,
        new_token=None,
        expires_at=None,
    )


@pytest.fixture
async def gateway(house):
    gateway = Gateway(house, pytest.fail)
    gateway.members = [Member(number, house) for number in range(4)]
    for member in gateway.members:
        member.room = house.rooms.enter(ROOM, member)
    return gateway


def hearing(gateway, fact):
    message = Committed(command="c", correlation="c", at=0, app=ROOM.app, room=ROOM.room, facts=(fact,))
    gateway.apply(Stored(1, event_subject(0, ROOM, Verb.JOIN), message.to_bytes()))
    return [number for number, member in enumerate(gateway.members) if member.heard]


def about(number, role):
    return {"session": f"{number:032x}", "user": "ann", "role": role, "gateway": EDGE}


@pytest.mark.parametrize(("role", "heard"), [(Role.ANCHOR, [0, 1, 2, 3]), (Role.AUDIENCE, [2])])
async def test_who_comes_in_as_audience_is_seen_by_nobody(gateway, role, heard):
    assert hearing(gateway, Joined(**PLACE, **about(2, role))) == heard


@pytest.mark.parametrize(("roles", "heard"), [([Role.AUDIENCE] * 2, [1, 2]), ([Role.AUDIENCE, Role.ANCHOR], [0, 1, 2, 3])])
async def test_nor_is_one_who_leaves(gateway, roles, heard):
    ends = tuple(SessionEnd(**about(number, role)) for number, role in enumerate(roles, start=1))
    assert hearing(gateway, Left(**PLACE, reason=LeaveReason.REMOVED, sessions=ends)) == heard


async def test_an_attachment_is_news_to_the_session_alone(gateway):
    assert hearing(gateway, Attached(**PLACE, **about(3, Role.ANCHOR), attachment=2)) == [3]


@pytest.mark.parametrize("fact", [Dissolved(**PLACE), RoleSwitched(**PLACE, **about(1, Role.AUDIENCE))])
async def test_the_rest_is_news_to_all(gateway, fact):
    assert hearing(gateway, fact) == [0, 1, 2, 3]


async def test_those_that_are_ready_are_told_together(gateway, house):
    """Once each, after one stop for all of them; the fact is in their inboxes by then, and nobody else's."""
    ends = tuple(SessionEnd(**about(number, Role.AUDIENCE)) for number in (1, 2, 3))
    gateway.members[2].is_busy = True
    assert hearing(gateway, Left(**PLACE, reason=LeaveReason.REMOVED, sessions=ends)) == [1, 2, 3]
    await asyncio.gather(*house.background)
    assert house.media.calls == [("stop", gateway.members[number].engine_ids[0]) for number in (1, 3)]
    assert [len(member.told) for member in gateway.members] == [0, 1, 0, 1]
    assert [item.media_stopped is None for member in gateway.members for item in member.heard] == [False, True, False]


async def test_the_end_of_one_is_its_own_affair(gateway, house):
    """It does it all itself, at its turn."""
    assert hearing(gateway, Left(**PLACE, reason=LeaveReason.REMOVED, sessions=(SessionEnd(**about(1, Role.ANCHOR)),))) == [0, 1, 2, 3]
    assert house.background == set()
    assert {item.media_stopped for member in gateway.members for item in member.heard} == {None}

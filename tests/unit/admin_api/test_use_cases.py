import contextlib

import pytest

from services.admin_api.errors import ApiError
from services.admin_api.requests import DismissRoom, DismissRoomByStrRoomId, RemoveUser, RemoveUserByStrRoomId
from services.admin_api.use_cases import Administration, Order
from shared.clients.gathering import Gathering
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import RefusalCode, RefusedError
from shared.contracts.receipts import Receipt, SessionReceipt
from shared.contracts.replies import DismissReply, RemoveReply

ORDER = Order(command="c1", correlation="r1", allowed_app=1)
REMOVED = RemoveReply(removed=(), not_found=("u1",))
DISMISSED = DismissReply(incarnation="1.1", seq=1, sessions=2)


class FakeRegistry:
    def __init__(self, refusal=None):
        self.commands = []
        self._refusal = refusal

    async def remove(self, command):
        return self._note(command, REMOVED)

    async def dismiss(self, command):
        return self._note(command, DISMISSED)

    def _note(self, command, reply):
        self.commands.append(command)
        if self._refusal:
            raise self._refusal
        return reply


class FakeReceipts:
    """Receipts that are stored already, and those that come while they are listened for."""

    def __init__(self, stored=(), coming=()):
        self._stored = stored
        self._coming = coming
        self.asked = []

    @contextlib.asynccontextmanager
    async def gathering(self, app, command):
        gathering = Gathering()
        self.asked.append(("listen", app, command))
        for receipt in self._coming:
            gathering.add(receipt)
        yield gathering

    async def read(self, app, command, into):
        self.asked.append(("read", app, command))
        for receipt in self._stored:
            into.add(receipt)


def administration(registry, receipts=None):
    return Administration(registry, receipts or FakeReceipts(), clock=lambda: 5000, seconds=2.5, receipt_seconds=0.01)


@pytest.mark.parametrize(("model", "room"), [(RemoveUser, 12), (RemoveUserByStrRoomId, "12")])
async def test_a_removal_is_one_command_on_the_room_of_its_kind(model, room):
    registry = FakeRegistry()
    outcome = await administration(registry).carry_out(model(SdkAppId=1, RoomId=room, UserIds=["u1", "u2"]), ORDER)
    assert (outcome.command, outcome.reply) == ("c1", REMOVED)
    assert registry.commands == [Remove(id="c1", correlation="r1", expires_at=7500, app=1, room=room, users=("u1", "u2"))]


@pytest.mark.parametrize(("model", "room"), [(DismissRoom, 12), (DismissRoomByStrRoomId, "12")])
async def test_a_dismissal_is_one_command_on_the_room_of_its_kind(model, room):
    registry = FakeRegistry()
    assert (await administration(registry).carry_out(model(SdkAppId=1, RoomId=room), ORDER)).reply == DISMISSED
    assert registry.commands == [Dismiss(id="c1", correlation="r1", expires_at=7500, app=1, room=room)]


async def test_another_apps_room_is_not_touched():
    registry = FakeRegistry()
    with pytest.raises(ApiError) as caught:
        await administration(registry).carry_out(DismissRoom(SdkAppId=2, RoomId=12), ORDER)
    assert caught.value.code == "UnauthorizedOperation.SdkAppId"
    assert registry.commands == []


async def test_a_refusal_goes_to_the_caller():
    registry = FakeRegistry(RefusedError(RefusalCode.ROOM_NOT_EXIST, "none"))
    with pytest.raises(RefusedError):
        await administration(registry).carry_out(DismissRoom(SdkAppId=1, RoomId=12), ORDER)


def receipt(*told, stopped=1):
    sessions = [SessionReceipt(session=f"{n:032x}", user="u", media_stopped_at=stopped, told_at=at) for n, at in enumerate(told)]
    return Receipt(app=1, command="c1", gateway="gw_0123456789abcdef", sessions=sessions)


async def test_receipts_are_listened_for_before_the_command_is_sent():
    """Otherwise the first could be missed."""
    registry, receipts = FakeRegistry(), FakeReceipts(coming=[receipt(5, 6)])
    outcome = await administration(registry, receipts).carry_out(DismissRoom(SdkAppId=1, RoomId=12), ORDER)
    assert receipts.asked == [("listen", 1, "c1")]
    assert outcome.receipts.told() == 2


async def test_what_was_reported_before_is_read_from_the_stream():
    """A command that is sent again has its receipts already."""
    receipts = FakeReceipts(stored=[receipt(5, None), receipt(5, 7)])
    outcome = await administration(FakeRegistry(), receipts).carry_out(DismissRoom(SdkAppId=1, RoomId=12), ORDER)
    assert receipts.asked[-1] == ("read", 1, "c1")
    assert outcome.receipts.told() == 2


async def test_the_answer_does_not_wait_for_ever():
    """What is not reported in time is pending, or fenced."""
    receipts = FakeReceipts(coming=[receipt(None)])
    outcome = await administration(FakeRegistry(), receipts).carry_out(DismissRoom(SdkAppId=1, RoomId=12), ORDER)
    assert [each.receipt.state for each in outcome.receipts.sessions.values()] == ["fenced"]

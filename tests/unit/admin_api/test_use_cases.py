import pytest

from services.admin_api.errors import ApiError
from services.admin_api.requests import DismissRoom, DismissRoomByStrRoomId, RemoveUser, RemoveUserByStrRoomId
from services.admin_api.use_cases import Administration, Order
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import RefusalCode, RefusedError
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


def administration(registry):
    return Administration(registry, clock=lambda: 5000, seconds=2.5)


@pytest.mark.parametrize(("model", "room"), [(RemoveUser, 12), (RemoveUserByStrRoomId, "12")])
async def test_a_removal_is_one_command_on_the_room_of_its_kind(model, room):
    registry = FakeRegistry()
    reply = await administration(registry).carry_out(model(SdkAppId=1, RoomId=room, UserIds=["u1", "u2"]), ORDER)
    assert reply == REMOVED
    assert registry.commands == [Remove(id="c1", correlation="r1", expires_at=7500, app=1, room=room, users=("u1", "u2"))]


@pytest.mark.parametrize(("model", "room"), [(DismissRoom, 12), (DismissRoomByStrRoomId, "12")])
async def test_a_dismissal_is_one_command_on_the_room_of_its_kind(model, room):
    registry = FakeRegistry()
    assert await administration(registry).carry_out(model(SdkAppId=1, RoomId=room), ORDER) == DISMISSED
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

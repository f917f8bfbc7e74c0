import contextlib

import pytest

from services.admin_api.errors import ApiError
from services.admin_api.requests import DescribeReceipt, DismissRoom, DismissRoomByStrRoomId, RemoveUser, RemoveUserByStrRoomId
from services.admin_api.use_cases import Administration, Order
from shared.clients.gathering import Gathering
from shared.contracts.commands import Dismiss, Remove
from shared.contracts.errors import RefusalCode, RefusedError, UnavailableError
from shared.contracts.receipts import Receipt, SessionReceipt
from shared.contracts.replies import AnswerReply, DismissReply, Refusal, RemovedSession, RemoveReply

ORDER = Order(command="c1", correlation="r1", allowed_app=1)
REMOVED = RemoveReply(removed=(), not_found=("u1",))
GATEWAY, FORMER = "gw_0123456789abcdef", "old_0123456789abcdef"
DISMISSED = DismissReply(incarnation="1.1", seq=1, sessions=2, attachments={GATEWAY: 2})
DESCRIBE = DescribeReceipt(SdkAppId=1, CommandId="c1")


class FakeRegistry:
    """Decides at once; has one answer for whoever asks later, or none at all."""

    def __init__(self, refusal=None, removed=REMOVED, remembered=None):
        self.commands = []
        self.asked = []
        self._refusal = refusal
        self._removed = removed
        self._remembered = remembered

    async def remove(self, command):
        return self._note(command, self._removed)

    async def dismiss(self, command):
        return self._note(command, DISMISSED)

    async def answer(self, app, command, _seconds):
        self.asked.append((app, command))
        if self._remembered is None:
            raise UnavailableError("nobody")
        return self._remembered

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
    return Receipt(app=1, command="c1", gateway=GATEWAY, sessions=sessions)


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
    assert (outcome.receipts.stopped(), outcome.receipts.told()) == (1, 0)


def removal(*former):
    session = RemovedSession(user="u", session=f"{0:032x}", gateway=GATEWAY, seq=3, former=former)
    return RemoveReply(removed=(session,), not_found=())


REMOVE = RemoveUser(SdkAppId=1, RoomId=12, UserIds=["u"])


async def test_whether_a_gateway_was_lost_is_asked_when_its_report_is_missing():
    """At the end of the wait: its sessions are fenced then."""
    registry = FakeRegistry(removed=removal(FORMER), remembered=AnswerReply(answer=removal(FORMER), lost=(FORMER,)))
    outcome = await administration(registry, FakeReceipts(coming=[receipt(5)])).carry_out(REMOVE, ORDER)
    assert registry.asked == [(1, "c1")]
    assert outcome.lost == {FORMER}


async def test_so_it_is_for_a_dismissal():
    """Whose answer says how many sessions each gateway held."""
    registry, request = FakeRegistry(remembered=AnswerReply(answer=DISMISSED, lost=(GATEWAY,))), DismissRoom(SdkAppId=1, RoomId=12)
    outcome = await administration(registry, FakeReceipts(coming=[receipt(None, None)])).carry_out(request, ORDER)
    assert (registry.asked, outcome.lost) == ([], frozenset())
    outcome = await administration(registry, FakeReceipts(coming=[receipt(5)])).carry_out(request, ORDER)
    assert (registry.asked, outcome.lost) == ([(1, "c1")], {GATEWAY})


@pytest.mark.parametrize("told", [5, None])
async def test_it_is_not_asked_when_all_media_has_stopped(told):
    """A browser that was not told is no reason to ask the registry."""
    registry = FakeRegistry(removed=removal())
    await administration(registry, FakeReceipts(coming=[receipt(told)])).carry_out(REMOVE, ORDER)
    assert registry.asked == []


async def test_a_removal_is_answered_though_nobody_says_who_was_lost():
    """It was carried out: that must not become an error."""
    registry = FakeRegistry(removed=removal())
    outcome = await administration(registry).carry_out(REMOVE, ORDER)
    assert (registry.asked, outcome.lost) == ([(1, "c1")], frozenset())


@pytest.mark.parametrize("answer", [removal(FORMER), DISMISSED])
async def test_a_description_is_the_remembered_answer_and_the_stored_receipts(answer):
    registry = FakeRegistry(remembered=AnswerReply(answer=answer, lost=(FORMER,)))
    outcome = await administration(registry, FakeReceipts(stored=[receipt(5)])).describe(DESCRIBE, 1)
    assert (outcome.command, outcome.reply, outcome.lost) == ("c1", answer, {FORMER})
    assert outcome.receipts.told() == 1
    assert registry.commands == []


async def test_when_the_answer_is_forgotten_the_receipts_remain():
    registry = FakeRegistry(remembered=AnswerReply(answer=None))
    outcome = await administration(registry, FakeReceipts(stored=[receipt(5)])).describe(DESCRIBE, 1)
    assert (outcome.reply, outcome.receipts.told()) == (None, 1)


async def test_of_what_nothing_is_known_there_is_no_description():
    with pytest.raises(ApiError) as caught:
        await administration(FakeRegistry(remembered=AnswerReply(answer=None))).describe(DESCRIBE, 1)
    assert caught.value.code == "ResourceNotFound.CommandId"


async def test_a_command_that_was_refused_is_described_by_its_refusal():
    refusal = Refusal(code=RefusalCode.ROOM_NOT_EXIST, message="none")
    with pytest.raises(RefusedError) as caught:
        await administration(FakeRegistry(remembered=AnswerReply(answer=refusal))).describe(DESCRIBE, 1)
    assert caught.value.code == RefusalCode.ROOM_NOT_EXIST


async def test_without_the_registry_nothing_is_called_forgotten():
    """Who asks again may still hear everything."""
    with pytest.raises(UnavailableError):
        await administration(FakeRegistry(), FakeReceipts(stored=[receipt(5)])).describe(DESCRIBE, 1)


async def test_another_apps_command_is_not_described():
    registry = FakeRegistry(remembered=AnswerReply(answer=REMOVED))
    with pytest.raises(ApiError) as caught:
        await administration(registry).describe(DESCRIBE, 2)
    assert caught.value.code == "UnauthorizedOperation.SdkAppId"
    assert registry.asked == []

"""What an answer says became of a command, at once and later: the test plays the registry and the gateways."""

import asyncio

import httpx
import pytest

from services.admin_api.app import build
from shared.clients.answers import Answers
from shared.clients.receipts import Receipts
from shared.contracts.commands import Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.receipts import Receipt, SessionReceipt
from shared.contracts.replies import DismissReply, Refusal, RemovedSession, RemoveReply
from shared.contracts.subjects import ANSWERS, receipt_subject
from tests.admin_api.support import (
    APP,
    FOREIGN,
    FORMER,
    GATEWAY,
    SESSION,
    Caller,
    PlayedGateways,
    PlayedRegistry,
    code_of,
    settings,
)
from tests.support.running import running

REMOVE = {"SdkAppId": APP, "RoomId": 12, "UserIds": ["u1"]}
DISMISS = {"SdkAppId": APP, "RoomId": 12}
OTHER = SESSION[::-1]


@pytest.fixture
async def gateways(bus):
    await Receipts(bus).ensure(1)
    return PlayedGateways(bus)


@pytest.fixture
async def patient(nats_server, registry, gateways):
    """A caller of a replica that waits for receipts as long as a test may take."""
    async with running(build(settings(nats_server.url, admin_receipt_seconds=20.0))) as url, httpx.AsyncClient(base_url=url) as client:
        yield Caller(client)


def removed_from(*former):
    session = RemovedSession(user="u1", session=SESSION, gateway=GATEWAY, seq=7, former=former)
    return RemoveReply(removed=(session,), not_found=())


async def removed(caller, registry, *former):
    """Remove, with an answer that nobody has reported on yet. Returns the command's id and the session in the answer."""
    registry.answers[Verb.REMOVE] = removed_from(*former)
    response = await caller.post("RemoveUser", REMOVE)
    (session,) = response["Removed"]
    return response["CommandId"], session


async def described(caller, command):
    return await caller.post("DescribeReceipt", {"SdkAppId": APP, "CommandId": command})


def outcome(session):
    return session["State"], session["MediaStoppedAt"], session["ToldAt"]


async def test_an_answer_waits_until_every_gateway_that_held_the_session_has_reported(patient, registry, gateways):
    """A former one, too: its media could still flow. The time is that of the last to stop."""
    registry.answers[Verb.REMOVE] = removed_from(FORMER)
    asking = asyncio.create_task(patient.post("RemoveUser", REMOVE))
    command = (await registry.answered.get()).id
    await gateways.report(command, stopped=3, told=5)
    done, _ = await asyncio.wait({asking}, timeout=0.2)
    assert not done
    await gateways.report(command, gateway=FORMER, stopped=4)
    (session,) = (await asking)["Removed"]
    assert (session["Gateway"], session["Seq"], *outcome(session)) == (GATEWAY, 7, "confirmed", 4, 5)


async def test_a_dismissal_waits_for_every_attachment(patient, registry, gateways):
    registry.answers[Verb.DISMISS] = DismissReply(incarnation="1.1", seq=9, sessions=2, attachments={GATEWAY: 2, FORMER: 1})
    asking = asyncio.create_task(patient.post("DismissRoom", DISMISS))
    command = (await registry.answered.get()).id
    await gateways.report(command, stopped=3, told=5)
    await gateways.report(command, session=OTHER, user="u2", stopped=3, told=5)
    done, _ = await asyncio.wait({asking}, timeout=0.2)
    assert not done
    await gateways.report(command, gateway=FORMER, stopped=4)
    response = await asking
    assert (response["Sessions"], response["Confirmed"], response["Fenced"], response["Pending"]) == (2, 2, 0, 0)
    assert {each["SessionId"]: outcome(each) for each in response["Removed"]} == {
        SESSION: ("confirmed", 4, 5),
        OTHER: ("confirmed", 3, 5),
    }


async def test_what_was_not_reported_in_time_is_described_later(caller, registry, gateways):
    """As it has become, step by step."""
    command, session = await removed(caller, registry, FORMER)
    assert outcome(session) == ("pending", None, None)
    steps = []
    for report in ({"stopped": 3}, {"gateway": FORMER, "stopped": 4}, {"stopped": 3, "told": 5}):
        await gateways.report(command, **report)
        response = await described(caller, command)
        steps.append(outcome(response["Removed"][0]))
        assert (response["CommandId"], response["NotFound"], response["Complete"]) == (command, [], True)
    assert steps == [("pending", None, None), ("fenced", 4, None), ("confirmed", 4, 5)]


async def test_another_replica_describes_it_as_well(nats_server, caller, registry, gateways):
    """None of it is in the memory of the one that sent the command."""
    command, _ = await removed(caller, registry)
    await gateways.report(command, stopped=3, told=5)
    async with running(build(settings(nats_server.url))) as url, httpx.AsyncClient(base_url=url) as client:
        response = await described(Caller(client), command)
    assert outcome(response["Removed"][0]) == ("confirmed", 3, 5)


async def test_a_gateway_that_was_lost_has_stopped(caller, registry, gateways):
    """Both in the answer and in what is described later; nobody has measured since when."""
    registry.lost = {FORMER}
    _, session = await removed(caller, registry, FORMER)
    assert outcome(session) == ("pending", None, None)
    registry.lost = {FORMER, GATEWAY}
    command, session = await removed(caller, registry, FORMER)
    assert outcome(session) == ("fenced", None, None)
    response = await described(caller, command)
    assert outcome(response["Removed"][0]) == ("fenced", None, None)


async def test_what_a_dismissal_ended_on_a_gateway_that_was_lost_has_stopped(caller, registry, gateways):
    """Counted, not named: nobody has reported it. What lives has to report all the same."""
    registry.answers[Verb.DISMISS] = DismissReply(incarnation="1.1", seq=9, sessions=3, attachments={GATEWAY: 1, FORMER: 2})
    registry.lost = {FORMER}
    first = await caller.post("DismissRoom", DISMISS)
    await gateways.report(first["CommandId"], stopped=3, told=5)
    second = await described(caller, first["CommandId"])
    assert [first[each] for each in ("Sessions", "Confirmed", "Fenced", "Pending")] == [3, 0, 2, 1]
    assert [second[each] for each in ("Sessions", "Confirmed", "Fenced", "Pending")] == [3, 1, 2, 0]
    assert [outcome(each) for each in second["Removed"]] == [("confirmed", 3, 5)]


async def test_a_browser_that_was_refused_elsewhere_was_told(caller, registry, gateways):
    """Where it came to resume. That gateway never held the session, and stops nothing for it."""
    command, _ = await removed(caller, registry)
    await gateways.report(command, gateway=FOREIGN, told=6)
    assert outcome((await described(caller, command))["Removed"][0]) == ("pending", None, 6)
    await gateways.report(command, stopped=3)
    assert outcome((await described(caller, command))["Removed"][0]) == ("confirmed", 3, 6)


async def test_when_the_registry_has_forgotten_the_receipts_remain(caller, registry, gateways):
    """They do not say who else there was."""
    command, _ = await removed(caller, registry)
    await gateways.report(command, stopped=3, told=5)
    registry.remembered.clear()
    response = await described(caller, command)
    assert "NotFound" not in response
    assert response["Complete"] is False
    (session,) = response["Removed"]
    assert (session["UserId"], session["Gateway"], session["Seq"], *outcome(session)) == ("u1", GATEWAY, None, "confirmed", 3, 5)


async def test_a_dismissal_is_described_with_its_counts(caller, registry, gateways):
    registry.answers[Verb.DISMISS] = DismissReply(incarnation="1.1", seq=9, sessions=3, attachments={GATEWAY: 3})
    command = (await caller.post("DismissRoom", DISMISS))["CommandId"]
    await gateways.report(command, stopped=3, told=5)
    response = await described(caller, command)
    assert [response[name] for name in ("Sessions", "Confirmed", "Fenced", "Pending", "Complete")] == [3, 1, 0, 2, True]


async def test_a_command_that_was_refused_is_described_by_its_refusal(caller, registry, gateways):
    registry.remembered[APP, "c1"] = Refusal(code=RefusalCode.ROOM_NOT_EXIST, message="none")
    assert code_of(await described(caller, "c1")) == "FailedOperation.RoomNotExist"


async def test_of_an_unknown_command_nothing_is_described(caller, registry, gateways):
    assert code_of(await described(caller, "unknown")) == "ResourceNotFound.CommandId"


async def test_another_apps_command_is_none_of_the_callers(caller, registry, gateways):
    """Neither under that app's number, nor under its own."""
    registry.remembered[APP + 1, "c1"] = removed_from()
    assert code_of(await caller.post("DescribeReceipt", {"SdkAppId": APP + 1, "CommandId": "c1"})) == "UnauthorizedOperation.SdkAppId"
    assert code_of(await described(caller, "c1")) == "ResourceNotFound.CommandId"


async def test_without_a_registry_the_caller_hears_that_it_may_try_again(caller, registry, gateways):
    """And a removal is answered all the same: it was carried out."""
    registry.silent = True
    command, session = await removed(caller, registry)
    assert session["State"] == "pending"
    await gateways.report(command, stopped=3, told=5)
    response = await described(caller, command)
    assert code_of(response) == "InternalError"
    assert "may be sent again" in response["Error"]["Message"]


async def test_a_receipt_that_is_not_what_its_subject_says_is_none(caller, registry, gateways):
    """A gateway may write under its own name only, and the bus sees to it by the subject."""
    command, _ = await removed(caller, registry)
    forged = Receipt(
        app=APP, command=command, gateway=GATEWAY, sessions=(SessionReceipt(session=SESSION, user="u1", media_stopped_at=3, told_at=5),)
    )
    await gateways.write(forged, subject=receipt_subject(APP, command, FOREIGN))
    assert outcome((await described(caller, command))["Removed"][0]) == ("pending", None, None)


async def test_the_registry_is_asked_again_when_a_replica_keeps_silent(bus):
    """It may be frozen; the next question reaches another."""
    asked = asyncio.Event()

    async def freeze(_message):
        asked.set()

    frozen = await bus.subscribe(ANSWERS.subscription(), cb=freeze)
    asking = asyncio.create_task(Answers(bus).ask(APP, "c1", 20))
    await asked.wait()
    await frozen.unsubscribe()
    registry = PlayedRegistry(bus)
    registry.remembered[APP, "c1"] = removed_from()
    await registry.start()
    assert (await asking).answer == removed_from()

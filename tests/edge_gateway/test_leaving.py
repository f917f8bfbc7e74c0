"""Going out: by oneself, made to, cut off; and that all of it comes out at the same door."""

import asyncio
import json

import pytest
from stagedoor_client import SignallingClient

import services.edge_gateway.departure as departure_module
from services.edge_gateway.inbox import MAX_ITEMS
from services.edge_gateway.media.interface import Stopped
from services.edge_gateway.protocol import EndedAck
from shared.contracts.commands import Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import Refusal
from shared.contracts.subjects import parse_subject
from shared.service import ServiceFailedError
from tests.edge_gateway.conftest import APP, gateway_running, usersig


async def test_leaving_by_oneself(gateway, registry):
    """The registry ends the session, the others hear it, nobody is banned, the socket closes with 1000."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        await ann.leave()
        assert await ann.closed() == 1000
        assert (await registry.next(Verb.LEAVE))["reason"] == "left"
        left = await bob.expect("peer_left")
        assert (left["session"], left["reason"]) == (ann.session, "left")
        assert "ended" not in [message["type"] for message in ann.messages._queue if message]


@pytest.mark.parametrize(
    ("reason", "v4_reason", "message"),
    [
        (LeaveReason.REPLACED, "kick", "client was banned because of duplicated userId joining the room."),
        (LeaveReason.REMOVED, "banned", "client was banned because of you got banned by account admin"),
        (
            LeaveReason.DISMISSED,
            "room-disband",
            "client was banned because of the room has been disbanded by the admin.",
        ),
    ],
)
async def test_made_to_leave(gateway, registry, reason, v4_reason, message):
    """Media stops first, then the browser is told in the words of its cause, acknowledges, and the socket closes."""
    async with gateway.joined("ann") as ann:
        if reason is LeaveReason.DISMISSED:
            await registry.dismiss()
        else:
            await registry.leave(ann.session, reason)
        ended = await ann.expect("ended")
        assert ("stop", f"{ann.session}.1") in gateway.media.calls
        assert ended["reason"] == reason
        assert ended["correlation"] == "cause"
        assert (ended["client_banned"]["v4_reason"], ended["client_banned"]["message"]) == (v4_reason, message)
        await ann.acknowledge()
        assert await ann.closed() == 1000


async def test_media_stops_before_the_browser_is_told(gateway, registry):
    """Not at the same time: until the engine has stopped, nothing is said."""
    stopped = asyncio.Event()
    stop = gateway.media.stop

    async def slowly(session, notice=None):
        await stopped.wait()
        return await stop(session, notice=notice)

    gateway.media.stop = slowly
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        await registry.leave(ann.session, LeaveReason.REMOVED)
        # Bob's hearing of it shows that the fact has arrived.
        await bob.expect("peer_left")
        assert not [message for message in ann.messages._queue if message["type"] == "ended"]
        stopped.set()
        await ann.expect("ended")


async def test_only_the_removed_session_is_told(gateway, registry):
    """The other session of the same userId, and everybody else, stay."""
    async with (
        gateway.joined("ann", role="audience", mode="live") as first,
        gateway.joined("ann", role="audience", mode="live") as second,
        gateway.joined("bob") as bob,
    ):
        await registry.leave(first.session, LeaveReason.REMOVED)
        await first.expect("ended")
        await second.leave()
        await bob.leave()
        for other in (second, bob):
            assert "ended" not in [message["type"] for message in other.messages._queue if message]


async def test_a_browser_that_does_not_acknowledge_is_closed_all_the_same(gateway, registry, monkeypatch):
    """After a bounded wait."""
    monkeypatch.setattr(departure_module, "ACK_SECONDS", 0.1)
    async with gateway.joined("ann") as ann:
        await registry.leave(ann.session, LeaveReason.REMOVED)
        await ann.expect("ended")
        assert await ann.closed() == 1000


async def test_a_closed_tab_leaves_at_once(gateway, registry):
    """Close code 1001 is a leave, not a loss."""
    async with gateway.joined("ann") as ann:
        await ann.connection.close(1001)
        assert (await registry.next(Verb.LEAVE))["reason"] == "left"


async def test_a_browser_that_is_cut_off_times_out_after_the_grace(gateway_settings, registry):
    """Its media goes on during the grace, and stops before the leave is sent."""
    async with gateway_running(gateway_settings.model_copy(update={"reconnect_grace": 0.3})) as gateway, gateway.joined("ann") as ann:
        began = asyncio.get_running_loop().time()
        ann.connection.transport.abort()
        left = await registry.next(Verb.LEAVE)
        assert left["reason"] == "timed_out"
        assert asyncio.get_running_loop().time() - began >= 0.3
        assert ("stop", f"{ann.session}.1") in gateway.media.calls


async def test_a_removal_holds_for_a_browser_that_is_cut_off(gateway_settings, registry):
    """The session ends by the fact; when the grace is over nothing is left to do."""
    async with (
        gateway_running(gateway_settings.model_copy(update={"reconnect_grace": 60})) as gateway,
        gateway.joined("bob") as bob,
        gateway.joined("ann") as ann,
    ):
        ann.connection.transport.abort()
        await ann.closed()
        await registry.leave(ann.session, LeaveReason.REMOVED)
        assert (await bob.expect("peer_left"))["reason"] == "removed"
        await bob.leave()
        assert (await registry.next(Verb.LEAVE))["session"] == bob.session


async def test_a_leave_that_is_refused_is_sent_again(gateway, registry):
    """Until it is done: a registry whose clock is wrong must not leave a ghost in the room."""
    answer, refused = registry._answer, []

    async def refuse_first(message):
        if message.subject.endswith(".leave") and not refused:
            refused.append(message)
            await message.respond(Refusal(code=RefusalCode.WRONG_PARTITION, message="not now").to_bytes())
        else:
            await answer(message)

    registry.answer_with(refuse_first)
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        await ann.leave()
        assert (await bob.expect("peer_left"))["session"] == ann.session
    assert refused


async def test_a_gateway_that_cannot_read_the_stream_does_not_go_on(gateway_settings, registry, bus):
    """It might be a removal."""
    with pytest.raises(ServiceFailedError, match="cannot be read"):
        async with gateway_running(gateway_settings) as gateway:
            await bus.jetstream().publish("stagedoor.v1.evt.0.1400000001.n1.join", b'{"from": "the future"}')
            await gateway.service._stop.wait()


async def test_a_leave_while_joining_wins(gateway, registry):
    """The tab was closed before the answer: whichever command comes first, nobody stays."""
    registry.silent.add(Verb.JOIN)
    async with SignallingClient.open(gateway.url) as client:
        joining = asyncio.create_task(client.join(app=APP, user="ann", sig=usersig("ann"), room=1))
        session = (await registry.next(Verb.JOIN))["session"]
        await client.connection.close(1001)
        assert (await registry.next(Verb.LEAVE))["session"] == session
        await asyncio.wait({joining})
        assert joining.exception() is not None


async def test_a_session_that_is_assigned_here_and_unknown_here_is_ended(gateway, registry):
    """Its browser has given up long ago."""
    async with gateway.joined("ann"):
        name = (await registry.next(Verb.JOIN))["gateway"]
        await registry.join({"session": "d" * 32, "user": "ghost", "role": "anchor", "gateway": name})
        left = await registry.next(Verb.LEAVE)
        assert (left["session"], left["attachment"], left["reason"]) == ("d" * 32, 1, "timed_out")


async def test_requests_after_the_end_are_refused_not_served(gateway, registry):
    """A removed session publishes nothing any more."""
    async with gateway.joined("ann") as ann:
        await registry.leave(ann.session, LeaveReason.REMOVED)
        await ann.expect("ended")
        await ann.send({"type": "publish", "id": 99, "kind": "main", "sdp": "v=0"})
        await ann.acknowledge()
        await ann.closed()
        assert "publish" not in [call[0] for call in gateway.media.calls]


async def test_the_room_is_let_go_with_its_last_session(gateway, registry):
    """Nothing is kept of rooms that have nobody here."""
    async with gateway.joined("ann") as ann:
        await ann.leave()
        await ann.closed()
    async with gateway.joined("bob") as bob:
        assert bob.joined["peers"] == []


async def test_who_was_removed_before_the_join_was_answered_hears_success_and_then_the_notice(gateway, registry):
    """The answer was lost, and when the join was sent again its session had ended."""

    async def remove_first(message):
        if parse_subject(message.subject).verb is not Verb.JOIN:
            await registry._answer(message)
            return
        command = json.loads(message.data)
        await registry.join(command)
        await registry.leave(command["session"], LeaveReason.REMOVED)
        ended = {"reason": LeaveReason.REMOVED, "command": "cause", "correlation": "cause", "user": "ann"}
        await message.respond(Refusal(code=RefusalCode.SESSION_ENDED, message="ended", **ended).to_bytes())

    registry.answer_with(remove_first)
    async with gateway.joined("ann") as ann:
        assert ann.joined["peers"] == []
        assert (await ann.expect("ended"))["client_banned"]["v4_reason"] == "banned"
        await ann.acknowledge()
        assert await ann.closed() == 1000


async def test_a_session_that_is_overrun_is_ended_whole(gateway, registry, monkeypatch):
    """What comes while its media is being stopped does not end that halfway: nobody may be left in a room without a browser."""
    rooms, stopping, stopped = gateway.media.on_offer.__self__, asyncio.Event(), asyncio.Event()

    async def stop(*_, notice=None):
        stopping.set()
        await stopped.wait()
        return Stopped(0.0, frozenset())

    async with gateway.joined("ann") as ann:
        [member] = rooms.of_session(ann.session)
        monkeypatch.setattr(gateway.media, "stop", stop)
        for _ in range(2):
            for _ in range(MAX_ITEMS + 1):
                member.post(EndedAck(type="ended_ack"))
            await asyncio.wait_for(stopping.wait(), 5)
        stopped.set()
        assert (await registry.next(Verb.LEAVE))["session"] == ann.session
        await asyncio.wait_for(ann.closed(), 5)
    assert not rooms.has(ann.session)

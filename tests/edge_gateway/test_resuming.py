"""Resuming: a session goes on over another socket, on the same gateway or another one, or is refused."""

import asyncio
import json

import pytest
from stagedoor_client import RefusedError, SignallingClient

import services.edge_gateway.membership as membership_module
from services.edge_gateway import assignments
from shared.clients.receipts import Receipts
from shared.contracts.commands import Verb
from shared.contracts.reasons import CLIENT_BANNED, LeaveReason
from tests.edge_gateway.conftest import APP, ROOM, gateway_running

SDP = "v=0 offer"


@pytest.fixture
def gateway_settings(gateway_settings):
    """With a grace that is never over."""
    return gateway_settings.model_copy(update={"reconnect_grace": 60})


@pytest.fixture
async def other(gateway_settings, registry, gateway):
    """A second gateway."""
    async with gateway_running(gateway_settings.model_copy(update={"gateway_name": "other"})) as running:
        yield running


@pytest.fixture
async def heard(bus, registry):
    """The receipts of what the test commits."""
    async with Receipts(bus).gathering(APP, "cause") as gathering:
        yield gathering


async def published(client):
    return (await client.request("publish", kind="main", sdp=SDP))["stream"]


async def refused(gateway, former, **fields):
    """Try to resume; the error and the close code."""
    async with SignallingClient.open(gateway.url) as client:
        with pytest.raises(RefusedError) as error:
            await client.resume(**({"app": APP, "room": 1, "session": former.session, "token": former.token} | fields))
        return error.value, await client.closed()


def said(client):
    """The types of what a client was told and has not taken."""
    return [message["type"] for message in client.messages._queue if message]


async def test_a_join_gives_a_token_of_which_only_the_digest_is_told_to_the_registry(gateway, registry):
    """Each its own."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        command = await registry.next(Verb.JOIN)
        assert (ann.joined["attachment"], len(ann.token) > 43, ann.token != bob.token) == (1, True, True)
        assert len(command["token"]) == 64
        assert ann.token not in str(command)


async def test_on_the_same_gateway_media_goes_on(gateway, registry):
    """The engine is asked to stop nothing, the publication is still there, and the others hear nothing."""
    async with gateway.joined("bob") as bob, gateway.joined("ann") as ann:
        stream = await published(ann)
        await bob.expect("stream_added")
        ann.cut()
        async with gateway.resumed(ann) as again:
            assert again.resumed["session"] == ann.session
            assert {name: again.resumed[name] for name in ("attachment", "role", "media", "published")} == {
                "attachment": 2,
                "role": "anchor",
                "media": True,
                "published": stream,
            }
            assert again.resumed["peers"] == [{"session": bob.session, "user": "bob"}]
            await again.request("unpublish", stream=stream)
            assert (await bob.messages.get())["type"] == "stream_removed"
        assert [call[0] for call in gateway.media.calls] == ["publish", "unpublish", "stop"]


async def test_an_offer_that_was_not_answered_comes_again(gateway, registry):
    """With the same number, and with what was wanted; an answered one does not."""
    async with gateway.joined("bob") as bob, gateway.joined("ann") as ann:
        stream = await published(bob)
        await ann.expect("stream_added")
        await ann.request("subscribe", stream=stream, audio=True, video=True)
        offer = await ann.expect("offer")
        ann.cut()
        async with gateway.resumed(ann) as again:
            assert await asyncio.wait_for(again.expect("offer"), 5) == offer
            await again.send({"type": "answer", "number": 1, "sdp": "v=0"})
            again.cut()
            async with gateway.resumed(again) as third:
                await third.request("subscribe", stream=stream, audio=True, video=False)
                assert (await third.expect("offer"))["number"] == 2
        assert ("answer", f"{ann.session}.1", 1) in gateway.media.calls


async def test_what_happened_meanwhile_is_in_the_reply(gateway, registry):
    """Who went is not there, who came is."""
    async with gateway.joined("bob") as bob, gateway.joined("ann") as ann:
        ann.cut()
        await bob.leave()
        async with gateway.joined("eve") as eve:
            stream = await published(eve)
            async with gateway.resumed(ann) as again:
                assert again.resumed["peers"] == [{"session": eve.session, "user": "eve"}]
                assert [each["stream"] for each in again.resumed["streams"]] == [stream]
                assert said(again) == []


async def test_a_former_socket_that_is_still_open_is_closed(gateway, registry):
    """With 4410; what happens to it is nothing to the session any more."""
    async with gateway.joined("bob") as bob, gateway.joined("ann") as ann, gateway.resumed(ann) as again:
        assert await ann.closed() == 4410
        await again.leave()
        assert (await bob.expect("peer_left"))["session"] == ann.session
        assert (await registry.next(Verb.LEAVE))["attachment"] == 2
        assert said(bob) == []


async def test_of_two_sockets_with_one_token_the_later_has_the_session(gateway, registry):
    """Whichever answer comes first."""
    async with gateway.joined("ann") as ann:
        stream = await published(ann)
        answer, first = registry._answer, []

        async def answer_the_first_after_the_second(message):
            if message.subject.endswith(".resume"):
                command = json.loads(message.data)
                first.append((message, await registry.resume(command)))
                registry.commands.put_nowait(command | {"verb": Verb.RESUME})
                if len(first) == 2:
                    for asked, reply in reversed(first):
                        await asked.respond(reply.to_bytes())
            else:
                await answer(message)

        registry.answer_with(answer_the_first_after_the_second)
        async with SignallingClient.open(gateway.url) as one, SignallingClient.open(gateway.url) as two:
            fields = {"app": APP, "room": 1, "session": ann.session, "token": ann.token}
            early = asyncio.create_task(one.resume(**fields))
            await registry.next(Verb.RESUME)
            result = await two.resume(**fields)
            assert (result["attachment"], result["published"]) == (3, stream)
            assert await asyncio.wait_for(one.closed(), 5) == 4410
            assert await asyncio.wait_for(ann.closed(), 5) == 4410
            await asyncio.wait({early})
            assert early.exception() is not None
    assert ("unpublish", f"{ann.session}.1") not in gateway.media.calls


async def test_who_was_elsewhere_meanwhile_has_no_media_here_any_more(gateway, registry):
    """This gateway has not heard of it, and has the media of before, which the client has given up; if it was not, it goes on."""
    async with gateway.joined("ann") as ann:
        await published(ann)
        registry.members[ROOM][ann.session]["attachment"] = 2
        async with gateway.resumed(ann, attachment=2) as again:
            assert (again.resumed["attachment"], again.resumed["media"], again.resumed["published"]) == (3, False, None)
            assert ("stop", f"{ann.session}.1") in gateway.media.calls
            stream = await published(again)
            registry.members[ROOM][ann.session]["attachment"] = 4
            async with gateway.resumed(ann, attachment=3) as later:
                assert (later.resumed["attachment"], later.resumed["media"], later.resumed["published"]) == (5, True, stream)


async def test_on_another_gateway_media_begins_anew(gateway, other, registry):
    """The former one stops its media, says that it holds nothing any more, and closes the socket; the session goes on."""
    async with gateway.joined("ann") as ann:
        await published(ann)
        async with other.resumed(ann) as again:
            assert (again.resumed["attachment"], again.resumed["media"], again.resumed["published"]) == (2, False, None)
            assert await asyncio.wait_for(ann.closed(), 5) == 4410
            detach = await registry.next(Verb.DETACH)
            assert (detach["session"], detach["attachment"]) == (ann.session, 1)
            assert ("stop", f"{ann.session}.1") in gateway.media.calls
            await published(again)
            assert ("publish", f"{ann.session}.2") in other.media.calls
        assert (await registry.next(Verb.LEAVE))["attachment"] == 2


async def test_there_and_back_again(gateway, other, registry):
    """The engine's names of media are used once."""
    async with gateway.joined("ann") as ann:
        await published(ann)
        async with other.resumed(ann) as second:
            await registry.next(Verb.DETACH)
            second.cut()
            async with gateway.resumed(second) as third:
                assert (third.resumed["attachment"], third.resumed["media"]) == (3, False)
                await published(third)
                assert ("publish", f"{ann.session}.3") in gateway.media.calls


async def test_who_is_audience_when_it_comes_back_publishes_no_more(gateway, registry):
    """It became that while it was away."""
    async with gateway.joined("bob", role="audience", mode="live") as bob, gateway.joined("ann", role="anchor", mode="live") as ann:
        await published(ann)
        await bob.expect("stream_added")
        ann.cut()
        registry.members[ROOM][ann.session]["role"] = "audience"
        async with gateway.resumed(ann, mode="live") as again:
            assert (again.resumed["role"], again.resumed["media"], again.resumed["published"]) == ("audience", True, None)
            await bob.expect("stream_removed")


async def test_a_former_gateway_reports_its_stop_of_an_ending(gateway, other, registry, heard):
    """As long as its detach is not committed, the administrator waits for it, too."""
    registry.silent.add(Verb.DETACH)
    async with gateway.joined("ann") as ann, other.resumed(ann) as again:
        await registry.next(Verb.DETACH)
        await registry.leave(ann.session, LeaveReason.REMOVED)
        await again.expect("ended")
        await again.acknowledge()
        await heard.until(lambda: heard.stopped() == 2 and heard.told() == 1, 5)
        reports = heard.sessions[ann.session]
        assert sorted(name.partition("_")[0] for name in reports) == ["edge", "other"]
        assert all(report.media_stopped_at is not None for report in reports.values())
    registry.silent.clear()


async def test_a_gateway_that_has_detached_reports_nothing(gateway, other, registry, heard):
    """Nobody waits for it."""
    async with gateway.joined("ann") as ann, other.resumed(ann) as again:
        await registry.next(Verb.DETACH)
        # Its own fact comes back to it before what is committed next.
        await registry.leave(ann.session, LeaveReason.REMOVED)
        await again.expect("ended")
        await again.acknowledge()
        await heard.until(lambda: heard.told() == 1, 5)
        assert [name.partition("_")[0] for name in heard.sessions[ann.session]] == ["other"]


@pytest.mark.parametrize("reason", [LeaveReason.REMOVED, LeaveReason.REPLACED])
async def test_a_session_that_ended_meanwhile_is_refused_with_its_reason(gateway, other, registry, heard, reason):
    """Its application hears it now, and the administrator that it did."""
    async with gateway.joined("ann") as ann, gateway.joined("eve") as eve:
        ann.cut()
        await ann.closed()
        await registry.leave(ann.session, reason)
        async with SignallingClient.open(other.url) as client:
            with pytest.raises(RefusedError) as error:
                await client.resume(app=APP, room=1, session=ann.session, token=ann.token)
            assert (error.value.code, error.value.reason, error.value.correlation) == ("session_ended", reason, "cause")
            assert error.value.client_banned["v4_reason"] == CLIENT_BANNED[reason].v4_reason
            await client.acknowledge()
            assert await client.closed() == 4403
        if reason is LeaveReason.REPLACED:
            # No administrator waits for that; his next command shows that nothing was written of it.
            await registry.leave(eve.session, LeaveReason.REMOVED)
            await heard.until(lambda: bool(heard.sessions), 5)
            assert set(heard.sessions) == {eve.session}
        else:
            await heard.until(lambda: heard.told() == heard.stopped() == 1, 5)
            told = {name.partition("_")[0]: report for name, report in heard.sessions[ann.session].items()}
            assert (told["edge"].told_at, told["other"].media_stopped_at) == (None, None)
            assert (told["other"].user, told["other"].told_at is None) == ("ann", False)


async def test_a_session_that_timed_out_is_refused_without_words(gateway, registry):
    """The client may join once by itself."""
    async with gateway.joined("ann") as ann:
        ann.cut()
        await registry.leave(ann.session, LeaveReason.TIMED_OUT)
        error, code = await refused(gateway, ann)
        assert (error.reason, error.client_banned, code) == ("timed_out", None, 4403)


async def test_a_wrong_token_opens_nothing_and_counts_as_a_failure(gateway_settings, registry):
    """The session goes on, whoever guesses has to wait."""
    async with gateway_running(gateway_settings.model_copy(update={"failed_joins_per_minute": 2})) as gateway, gateway.joined("ann") as ann:
        codes = [(await refused(gateway, ann, token="guess"))[0].code for _ in range(3)]
        assert codes == ["session_unknown", "session_unknown", "unauthorized"]
        assert registry.commands.qsize() == 1, "a guess costs the registry nothing: it has heard of the join alone"
        await ann.leave()


async def test_a_token_that_was_made_here_is_no_guess(gateway_settings, registry):
    """A whole office that wakes up too late must not be kept from joining anew."""
    async with gateway_running(gateway_settings.model_copy(update={"failed_joins_per_minute": 2})) as gateway:
        async with gateway.joined("ann") as ann:
            await ann.leave()
        registry.members.clear()
        registry.ended.clear()
        codes = [(await refused(gateway, ann))[0].code for _ in range(4)]
        assert codes == ["session_unknown"] * 4
        async with gateway.joined("ann"):
            pass


@pytest.mark.parametrize("fields", [{"token": ""}, {"token": "a b"}, {"session": "1"}, {"protocol": 2}, {"room": 0}])
async def test_a_resume_with_something_wrong_in_it_is_refused(gateway, fields):
    """Before the registry hears of it."""
    message = {"protocol": 1, "app": APP, "room": 1, "session": "a" * 32, "token": "t"} | fields
    async with SignallingClient.open(gateway.url) as client:
        with pytest.raises(RefusedError, match="bad_request"):
            await client.request("resume", **message)
        assert await client.closed() == 4403


async def test_ended_while_resuming(gateway, registry):
    """The browser hears that it is in, and then that it is out."""
    answer = registry.resume

    async def and_remove(command, **where):
        reply = await answer(command, **where)
        await registry.leave(command["session"], LeaveReason.REMOVED)
        return reply

    registry.resume = and_remove
    async with gateway.joined("ann") as ann:
        ann.cut()
        async with gateway.resumed(ann) as again:
            assert again.resumed["attachment"] == 2
            assert (await again.expect("ended"))["reason"] == "removed"
            await again.acknowledge()
            assert await again.closed() == 1000
        assert ("stop", f"{ann.session}.1") in gateway.media.calls


async def test_a_socket_that_is_lost_while_resuming_does_not_end_the_session(gateway, registry):
    """It is as any lost socket of it: there is a grace, and another resume."""
    answer, asked, decided = registry._answer, asyncio.Event(), asyncio.Event()

    async def slowly(message):
        if message.subject.endswith(".resume"):
            asked.set()
            await decided.wait()
        await answer(message)

    registry.answer_with(slowly)
    async with gateway.joined("ann") as ann:
        stream = await published(ann)
        ann.cut()
        async with SignallingClient.open(gateway.url) as lost:
            resuming = asyncio.create_task(lost.resume(app=APP, room=1, session=ann.session, token=ann.token))
            await asyncio.wait_for(asked.wait(), 5)
            lost.cut()
            await asyncio.wait({resuming})
            assert resuming.exception() is not None
        decided.set()
        async with gateway.resumed(ann) as again:
            assert (again.resumed["attachment"], again.resumed["published"]) == (3, stream)
    assert [command["verb"] for command in registry.commands._queue if command["verb"] == Verb.LEAVE] == []


async def test_a_leave_while_resuming_waits_for_its_number(gateway, registry):
    """It is the attachment that was just made that leaves."""
    answer, asked, decided = registry._answer, asyncio.Event(), asyncio.Event()

    async def slowly(message):
        if message.subject.endswith(".resume"):
            asked.set()
            await decided.wait()
        await answer(message)

    registry.answer_with(slowly)
    async with gateway.joined("ann") as ann:
        ann.cut()
        async with SignallingClient.open(gateway.url) as again:
            resuming = asyncio.create_task(again.resume(app=APP, room=1, session=ann.session, token=ann.token))
            await asyncio.wait_for(asked.wait(), 5)
            leaving = asyncio.create_task(again.leave())
            decided.set()
            await resuming
            await leaving
            assert (await registry.next(Verb.LEAVE))["attachment"] == 2


async def test_a_resume_whose_answer_is_lost_may_be_repeated_within_the_grace(gateway_settings, registry, monkeypatch):
    """It was carried out: its browser comes again, or the gateway ends the session."""
    monkeypatch.setattr(membership_module, "COMMAND_SECONDS", 0.3)
    async with gateway_running(gateway_settings.model_copy(update={"reconnect_grace": 3})) as gateway, gateway.joined("ann") as ann:
        stream = await published(ann)
        ann.cut()
        registry.mute.add(Verb.RESUME)
        error, code = await refused(gateway, ann)
        assert (error.code, error.retry, code) == ("unavailable", True, 4403)
        registry.mute.clear()
        async with gateway.resumed(ann) as again:
            assert (again.resumed["media"], again.resumed["published"]) == (True, stream)
            again.cut()
            registry.mute.add(Verb.RESUME)
            await refused(gateway, ann)
            last = registry.members[(APP, 1)][ann.session]["attachment"]
            left = await registry.next(Verb.LEAVE)
            while left["attachment"] != last:
                left = await registry.next(Verb.LEAVE)
            assert left["reason"] == "timed_out"


async def test_a_session_that_the_stream_does_not_assign_is_ended(gateway, registry, monkeypatch):
    """Something is wrong, and who is not in the room must not be served."""
    monkeypatch.setattr(assignments.Assignments, "has", lambda *_: False)
    async with gateway.joined("ann") as ann:
        assert (await ann.expect("ended"))["reason"] == "timed_out"

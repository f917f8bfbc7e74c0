"""Coming in: who is let in, who is not, and what each is told."""

import json

import pytest
from stagedoor_client import ClosedError, RefusedError, SignallingClient

from services.edge_gateway import membership
from shared.contracts.commands import Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.replies import Refusal
from tests.edge_gateway.conftest import APP, gateway_running, usersig


async def test_a_join_is_sent_to_the_registry_and_answered_with_the_roster(gateway, registry):
    """With the session that the gateway minted, and this boot of the gateway."""
    async with gateway.joined("ann") as ann, gateway.joined("用户2 😀") as second:
        command = await registry.next(Verb.JOIN)
        assert (command["app"], command["room"], command["user"], command["role"]) == (APP, 1, "ann", "anchor")
        assert command["session"] == ann.session
        assert command["gateway"].startswith("edge_")
        assert second.joined["peers"] == [{"session": ann.session, "user": "ann"}]
        assert await ann.expect("peer_joined") == {"type": "peer_joined", "session": second.session, "user": "用户2 😀"}


async def test_a_room_named_by_a_string_is_another_room(gateway, registry):
    """The JSON type is the kind, and TRTC's characters arrive as they are."""
    async with SignallingClient.open(gateway.url) as client:
        await client.join(app=APP, user="ann", sig=usersig("ann"), room="a.b c>d")
        assert (await registry.next(Verb.JOIN))["room"] == "a.b c>d"


async def test_the_role_counts_in_live_only(gateway, registry):
    """In rtc everybody is an anchor."""
    async with gateway.joined("ann", role="audience", mode="rtc"), gateway.joined("bob", role="audience", mode="live"):
        assert (await registry.next(Verb.JOIN))["role"] == "anchor"
        assert (await registry.next(Verb.JOIN))["role"] == "audience"


async def test_audience_is_announced_to_nobody(gateway):
    """Neither coming nor going."""
    async with gateway.joined("ann") as ann:
        async with gateway.joined("quiet", role="audience", mode="live") as quiet:
            await quiet.leave()
        async with gateway.joined("bob"):
            assert (await ann.messages.get())["user"] == "bob"


@pytest.mark.parametrize(
    ("sig", "extra"),
    [
        (usersig("ann", now=1_000), 70001),
        (usersig("ann", secret="another"), 70003),
        (usersig("bob"), 70013),
        (usersig("ann", app=APP + 1), 70014),
        ("", 70002),
        ("eJxx*-_", 70003),
    ],
    ids=["expired", "forged", "of another user", "of another app", "empty", "garbage"],
)
async def test_a_usersig_that_is_wrong_is_refused_with_the_vendors_number(gateway, registry, sig, extra):
    """The socket closes, and the registry never hears of it."""
    async with SignallingClient.open(gateway.url) as client:
        with pytest.raises(RefusedError) as refused:
            await client.join(app=APP, user="ann", sig=sig, room=1)
        assert (refused.value.code, refused.value.extra) == ("unauthorized", extra)
        assert await client.closed() == 4403
    assert registry.commands.empty()


async def test_an_unknown_app_is_refused(gateway):
    """With the vendor's number."""
    async with SignallingClient.open(gateway.url) as client:
        with pytest.raises(RefusedError) as refused:
            await client.join(app=7, user="ann", sig=usersig("ann", app=7), room=1)
        assert refused.value.extra == 70020


async def test_who_fails_often_has_to_wait(gateway_settings, registry):
    """Then even a right UserSig is refused, so that guessing tells nothing."""
    async with gateway_running(gateway_settings.model_copy(update={"failed_joins_per_minute": 2})) as gateway:
        extras = []
        for sig in ("x", "x", "x", usersig("ann")):
            async with SignallingClient.open(gateway.url) as client:
                with pytest.raises(RefusedError) as refused:
                    await client.join(app=APP, user="ann", sig=sig, room=1)
                extras.append(refused.value.extra)
        assert extras == [70003, 70003, 70050, 70050]


@pytest.mark.parametrize(
    "fields",
    [
        {"room": 0},
        {"room": "a*b"},
        {"room": 1.5},
        {"user": ""},
        {"user": "a\nb"},
        {"role": "host"},
        {"mode": "call"},
        {"protocol": 2},
        {"app": "1"},
    ],
)
async def test_a_join_with_something_wrong_in_it_is_refused(gateway, fields):
    """With an answer to its id, and a text that says where."""
    message = {"type": "join", "id": 5, "protocol": 1, "app": APP, "user": "ann", "sig": "x", "room": 1, "mode": "rtc"} | fields
    async with SignallingClient.open(gateway.url) as client:
        await client.connection.send(json.dumps(message))
        client._replies[5] = reply = client._closed.get_loop().create_future()
        with pytest.raises(RefusedError) as refused:
            await reply
        assert refused.value.code == "bad_request"
        assert next(iter(fields)) in str(refused.value)
        assert await client.closed() == 4403


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "null",
        "[]",
        '"join"',
        "{}",
        '{"type": "explode", "id": 1}',
        '{"type": 5}',
        '{"type": "join"}',
        '{"type": "join", "id": "1"}',
        b"\x00\x01",
        "[" * 30_000,
    ],
)
async def test_what_is_no_message_closes_the_socket(gateway, message):
    """After a word that says why; the next client is served."""
    async with SignallingClient.open(gateway.url) as client:
        await client.connection.send(message)
        assert (await client.expect("error"))["code"] == "bad_request"
        assert await client.closed() == 4400
    async with gateway.joined():
        pass


async def test_a_huge_message_closes_the_socket(gateway):
    """More than 64 KiB is not even read."""
    async with SignallingClient.open(gateway.url) as client:
        await client.connection.send("x" * 70_000)
        assert await client.closed() == 1009


async def test_a_socket_that_says_nothing_is_closed(gateway_settings, registry):
    """A join has a time limit."""
    async with (
        gateway_running(gateway_settings.model_copy(update={"join_timeout": 0.1})) as gateway,
        SignallingClient.open(gateway.url) as client,
    ):
        assert await client.closed() == 4408


async def test_a_flood_is_cut_off(gateway):
    """More than 200 messages at once end the session."""
    async with gateway.joined() as client:
        for _ in range(300):
            await client.send({"type": "ended_ack"})
        assert await client.closed() == 4429


async def test_the_first_message_is_a_join_or_a_resume(gateway):
    """Nothing else is served before it."""
    async with SignallingClient.open(gateway.url) as client:
        await client.send({"type": "leave", "id": 1})
        assert await client.closed() == 4400


async def test_a_second_join_on_one_socket_is_refused(gateway):
    """A session has one socket, and a socket one session."""
    async with gateway.joined() as client:
        with pytest.raises(RefusedError) as refused:
            await client.join(app=APP, user="ann", sig=usersig("ann"), room=1)
        assert refused.value.code == "invalid_state"


async def test_a_join_whose_answer_is_lost_is_refused_and_taken_back(gateway, registry, monkeypatch):
    """Nobody has its token: the stream says that it was carried out, and a leave makes sure that nobody stays behind."""
    monkeypatch.setattr(membership, "COMMAND_SECONDS", 0.3)
    registry.mute.add(Verb.JOIN)
    async with SignallingClient.open(gateway.url) as client:
        with pytest.raises(RefusedError) as refused:
            await client.join(app=APP, user="ann", sig=usersig("ann"), room=1)
        assert (refused.value.code, refused.value.retry) == ("unavailable", True)
    joined = await registry.next(Verb.JOIN)
    left = await registry.next(Verb.LEAVE)
    assert (left["session"], left["reason"]) == (joined["session"], "timed_out")


async def test_an_origin_that_is_not_on_the_list_is_refused(gateway_settings, registry):
    """Any is served by default; a list is kept to."""
    async with gateway_running(gateway_settings.model_copy(update={"allowed_origins": "https://app.example"})) as gateway:
        async with SignallingClient.open(gateway.url, origin="https://app.example") as client:
            await client.join(app=APP, user="ann", sig=usersig("ann"), room=1)
        with pytest.raises(Exception, match="403"):
            async with SignallingClient.open(gateway.url, origin="https://evil.example"):
                pass


async def test_a_join_waits_for_its_own_roster_before_it_hears_of_others(gateway, registry):
    """What happens between the join's commit and its answer is told after the answer, once."""
    answer = registry.join

    async def slowly(command, **where):
        reply = await answer(command, **where)
        await answer({"session": "c" * 32, "user": "quick", "role": "anchor", "gateway": "other_" + "0" * 16})
        return reply

    registry.join = slowly
    async with gateway.joined("ann") as ann:
        assert ann.joined["peers"] == []
        assert (await ann.messages.get())["user"] == "quick"
        with pytest.raises(ClosedError):
            await ann.leave()
            await ann.expect("peer_joined")


async def test_who_comes_to_another_gateway_than_the_rooms_hears_so_and_may_try_again(gateway, registry):
    """In words that name the cause."""
    refusal = Refusal(code=RefusalCode.ROOM_ELSEWHERE, message="the room is on another gateway")

    async def refuse(message):
        await message.respond(refusal.to_bytes())

    registry.answer_with(refuse)
    async with SignallingClient.open(gateway.url) as client:
        with pytest.raises(RefusedError, match="another gateway") as error:
            await client.join(app=APP, user="ann", sig=usersig("ann"), room=1)
        assert (error.value.code, error.value.retry) == ("room_elsewhere", True)
        assert await client.closed() == 4403
    registry.answer_with(registry._answer)


async def test_a_join_that_yields_says_so_and_hears_kick(gateway, registry):
    """Somebody else holds the slot."""
    asked = []

    async def refuse(message):
        asked.append(message)
        await message.respond(Refusal(code=RefusalCode.ANCHOR_TAKEN, message="taken").to_bytes())

    registry.answer_with(refuse)
    async with SignallingClient.open(gateway.url) as client:
        with pytest.raises(RefusedError) as error:
            await client.join(app=APP, user="ann", sig=usersig("ann"), room=1, yields=True)
        assert (error.value.code, error.value.client_banned["v4_reason"]) == ("anchor_taken", "kick")
        assert await client.closed() == 4403
    assert b'"yields":true' in asked[0].data
    registry.answer_with(registry._answer)

"""The path of a kick through all three services, from the vendor's SDK to the browser's socket."""

import asyncio
import json
import re
import signal
import time

import pytest
from stagedoor_client import ClosedError, RefusedError, SignallingClient
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from tests.system.conftest import APP

_STOP_SECONDS = 25
"""Drain (1), stop (10), and some seconds for a busy machine."""
REPLACED = "client was banned because of duplicated userId joining the room."
REMOVED = "client was banned because of you got banned by account admin"
DISMISSED = "client was banned because of the room has been disbanded by the admin."


async def banned(client):
    ended = await client.expect("ended")
    await client.acknowledge()
    assert await client.closed() == 1000
    return ended["client_banned"]["message"]


async def until_nobody_is_there(system):
    async with asyncio.timeout(40):
        while await system.stagedoor("rooms") != (0, "no rooms\n"):
            await asyncio.sleep(0.1)


async def heard(client):
    assert await banned(client) == DISMISSED


async def another_second():
    now = int(time.time())
    while int(time.time()) == now:
        await asyncio.sleep(0.01)


async def hears_nothing_of_it(client):
    await client.leave()
    with pytest.raises(ClosedError):
        await client.expect("ended")


@pytest.mark.parametrize(
    ("action", "room", "user"),
    [("RemoveUser", 1, "ann"), ("RemoveUserByStrRoomId", "1", "ann"), ("RemoveUserByStrRoomId", "a.b c>d", "用户2 😀")],
)
async def test_remove_user(system, action, room, user):
    """Those users hear it, in the seed's words, and only they; who is not there is named."""
    other = "1" if room == 1 else 1
    async with (
        system.joined(user, room) as victim,
        system.joined("bob", room) as bob,
        system.joined(user, other) as elsewhere,
    ):
        answer = await system.call(action, RoomId=room, UserIds=[user, "nobody"])
        assert answer.RequestId
        assert await banned(victim) == REMOVED
        assert (await bob.expect("peer_left"))["reason"] == "removed"
        await hears_nothing_of_it(bob)
        await hears_nothing_of_it(elsewhere)
    # It is no ban.
    async with system.joined(user, room):
        pass


@pytest.mark.parametrize(("action", "room"), [("DismissRoom", 1), ("DismissRoomByStrRoomId", "a.b c>d")])
async def test_dismiss_room(system, action, room):
    """Everybody hears it; the room does not exist any more; the next join makes a new one."""
    async with system.joined("ann", room) as ann, system.joined("bob", room, role="audience", mode="live") as bob:
        await asyncio.gather(system.call(action, RoomId=room), heard(ann), heard(bob))
        # Another second: the same request signed again within one is the same command.
        await another_second()
        with pytest.raises(TencentCloudSDKException) as refused:
            await system.call(action, RoomId=room)
        assert refused.value.code == "FailedOperation.RoomNotExist"
    async with system.joined("ann", room) as again:
        assert again.joined["peers"] == []


async def test_the_same_user_again(system):
    """The later anchor stays, the earlier hears why; others see the old one go before the new one comes."""
    async with system.joined("bob") as bob, system.joined("ann") as first:
        assert (await bob.expect("peer_joined"))["session"] == first.session
        async with system.joined("ann") as second:
            assert await banned(first) == REPLACED
            assert (await bob.expect("peer_left"))["session"] == first.session
            assert (await bob.expect("peer_joined"))["session"] == second.session
            await hears_nothing_of_it(second)


async def test_audience_of_the_same_user_coexist(system):
    """Only anchors are duplicates of each other."""
    async with (
        system.joined("ann", role="audience", mode="live") as first,
        system.joined("ann", role="audience", mode="live") as second,
    ):
        await hears_nothing_of_it(first)
        await hears_nothing_of_it(second)


async def test_the_shell_does_the_same(system):
    """`stagedoor rooms`, `remove` and `dismiss` speak to the same registry over the same bus."""
    async with system.joined("用户2 😀", "a.b c>d") as victim, system.joined("bob", "a.b c>d") as bob:
        code, listed = await system.stagedoor("rooms")
        assert code == 0
        assert "--str-room 'a.b c>d'  anchors 2: bob, 用户2 😀" in listed
        code, printed = await system.stagedoor("remove", "--str-room", "a.b c>d", "--user", "用户2 😀", "--user", "nobody")
        assert (code, "removed    用户2 😀" in printed, "not there  nobody" in printed) == (0, True, True)
        assert await banned(victim) == REMOVED
        assert (await system.stagedoor("dismiss", "--str-room", "a.b c>d"))[0] == 0
        assert await banned(bob) == DISMISSED
    assert await system.stagedoor("rooms") == (0, "no rooms\n")
    code, printed = await system.stagedoor("dismiss", "--str-room", "a.b c>d")
    assert (code, "room_not_exist" in printed) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["remove", "--room", "0", "--user", "ann"],
        ["remove", "--room", "1", "--str-room", "1", "--user", "ann"],
        ["remove", "--str-room", "a*b", "--user", "ann"],
        ["remove", "--room", "1"],
        ["remove", "--room", "1", "--user", " "],
        ["dismiss", "--app", "x", "--room", "1"],
        ["explode"],
    ],
)
async def test_a_wrong_command_line_is_refused_before_anything_is_sent(system, arguments):
    """With exit code 2 and a text."""
    code, printed = await system.stagedoor(*arguments)
    assert code == 2
    assert "error:" in printed


async def test_one_correlation_id_from_the_request_to_the_browser(system):
    """The RequestId of the HTTP answer is on the line of every service, and in the browser's message."""
    async with system.joined("ann") as ann:
        request_id = (await system.call("RemoveUser", RoomId=1, UserIds=["ann"])).RequestId
        ended = await ann.expect("ended")
        await ann.acknowledge()
        await ann.closed()
        assert ended["correlation"] == request_id
    for name in ("admin_api", "room_registry", "edge_gateway"):
        lines = [json.loads(line) for line in system.log(name).splitlines()]
        assert any(request_id in (line.get("correlation"), line.get("cause")) for line in lines), name


async def test_a_removal_is_answered_with_its_receipt(system):
    """Stopped, then told; who does not acknowledge is fenced, which can be asked for later."""
    async with system.joined("ann") as ann, system.joined("bob"):
        asking = asyncio.create_task(system.call("RemoveUser", RoomId=1, UserIds=["ann", "bob"]))
        await ann.expect("ended")
        await ann.acknowledge()
        await asking
    line = next(line for line in map(json.loads, system.log("room_registry").splitlines()) if line.get("verb") == "remove")
    code, printed = await system.stagedoor("receipt", "--id", line["command"])
    assert code == 0
    assert re.search(r"^confirmed  ann .*media stopped .* told ", printed, re.MULTILINE)
    assert re.search(r"^fenced     bob ", printed, re.MULTILINE)
    assert (await system.stagedoor("receipt", "--id", "unknown"))[0] == 1


async def test_events_prints_what_was_committed(system):
    """All of it, or of one room, or after a point; and what comes, when it follows."""
    async with system.joined("ann", "a.b c>d"), system.joined("bob", 1):
        await system.call("RemoveUser", RoomId=1, UserIds=["bob"])
    lines = [json.loads(line) for line in (await system.stagedoor("events"))[1].splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    _, of_room = await system.stagedoor("events", "--str-room", "a.b c>d")
    kinds = [fact["kind"] for line in of_room.splitlines() for fact in json.loads(line)["facts"]]
    assert kinds == ["joined", "left"]
    _, rest = await system.stagedoor("events", "--after", str(len(lines) - 1))
    assert [json.loads(line)["seq"] for line in rest.splitlines()] == [len(lines)]
    async with system.following("events", "--follow", "--after", str(len(lines))) as follower, system.joined("eve", 7):
        assert json.loads(await follower.readline())["facts"][0]["user"] == "eve"


async def test_no_secret_reaches_a_log(system):
    """Neither keys nor the bus's token nor a UserSig."""
    async with system.joined("ann"):
        await system.call("RemoveUser", RoomId=1, UserIds=["ann"])
    for name in system.ports:
        log = system.log(name)
        for secret in ("the-key-that-signs", "the-key-that-calls", "bus-token", "eJyr"):
            assert secret not in log, name


async def test_every_service_ends_gracefully(system):
    """SIGTERM, exit code 0; a browser is told to go on elsewhere, and one that does not is not left behind."""
    async with system.joined("ann") as ann:
        assert await system.end("edge_gateway") == 0
        assert (await ann.expect("move")) == {"type": "move"}
        assert await ann.closed() == 1012
        await until_nobody_is_there(system)
        assert await system.end("admin_api") == 0
        assert await system.end("room_registry") == 0


async def test_every_service_ends_gracefully_without_the_bus(system):
    """SIGTERM, exit code 0, before anybody would kill it: an upgrade may meet an outage of NATS."""
    async with system.joined("ann"):
        await system.nats.stop()
        for name in system.ports:
            async with asyncio.timeout(_STOP_SECONDS):
                assert await system.end(name) == 0, name


async def test_no_service_waits_for_a_bus_that_has_frozen(system):
    """Its connection is there, and nobody answers: whoever ends lets go of it."""
    async with system.joined("ann"):
        system.nats.process.send_signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                assert set(await asyncio.gather(*map(system.end, system.ports))) == {0}
        finally:
            await system.nats.stop(signal.SIGKILL)
    for name in system.ports:
        assert '"bus_silent"' in system.log(name), name


async def test_no_ghosts_after_everything_was_killed(system):
    """The stream has the history, and what the gateway's old boot held ends when it was silent for long enough."""
    async with system.joined("ann"), system.joined("bob", "x"):
        for name in system.ports:
            await system.end(name, 9)
        await system.nats.stop(9)
    await system.nats.start()
    await system.start()
    assert "ann" in (await system.stagedoor("rooms"))[1]
    await until_nobody_is_there(system)


async def test_a_session_outlives_its_gateway(system):
    """Killed, and started anew: the browser comes back with its token, and a kick finds it there."""
    async with system.joined("ann") as ann:
        await system.end("edge_gateway", 9)
        assert await ann.closed() == 1006
    await system.start("edge_gateway")
    async with SignallingClient.open(system.gateway) as again:
        resumed = await again.resume(app=APP, room=1, session=ann.session, token=ann.token)
        assert (again.attachment, resumed["media"]) == (2, False)
        answer = await system.call("RemoveUser", RoomId=1, UserIds=["ann"])
        assert await banned(again) == REMOVED
        assert answer.RequestId


async def test_who_was_removed_while_away_is_told_when_coming_back(system):
    """The resume is refused with the reason, the application is told once, and the receipt knows."""
    async with system.joined("ann") as ann:
        ann.cut()
        assert await ann.closed() == 1006
    assert (await system.stagedoor("remove", "--room", "1", "--user", "ann", "--id", "my-removal"))[0] == 0
    assert "fenced" in (await system.stagedoor("receipt", "--id", "my-removal"))[1]
    async with SignallingClient.open(system.gateway) as again:
        with pytest.raises(RefusedError) as refused:
            await again.resume(app=APP, room=1, session=ann.session, token=ann.token)
        assert (refused.value.code, refused.value.reason) == ("session_ended", "removed")
        assert refused.value.client_banned["message"] == REMOVED
        await again.acknowledge()
        assert await again.closed() == 4403
    async with asyncio.timeout(10):
        while "confirmed" not in (await system.stagedoor("receipt", "--id", "my-removal"))[1]:
            await asyncio.sleep(0.1)


async def test_a_registry_that_is_killed_and_comes_back_has_lost_nothing(system):
    """The gateway's sessions go on, and the next kick works as ever."""
    async with system.joined("ann") as ann, system.joined("bob"):
        await system.end("room_registry", 9)
        await system.start("room_registry")
        code, listed = await system.stagedoor("rooms")
        assert "anchors 2: ann, bob" in listed
        await system.call("RemoveUser", RoomId=1, UserIds=["ann"])
        assert await banned(ann) == REMOVED
        assert code == 0

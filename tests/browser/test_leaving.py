"""The ways out of a room, and what each page hears of them, in order and word for word."""

import asyncio

import pytest

from tests.browser.visitors import BANNED, DISBANDED, IN, KICKED, OUT, REMOVED, REPLACED, Application, is_out
from tests.browser.waiting import until

LOST = 0x4002


async def test_leave(visits, room):
    """The others hear the stream go, then the peer; who leaves hears that it is out, and of no ban."""
    bob = await visits.application("bob", room)
    ann = await visits.application("ann", room, publishes=True)
    await bob.sees("ann")
    assert await ann.leave() == {"resolved": True}
    assert (await bob.hears("peer-leave"))[-4:] == [
        ("peer-join", "ann"),
        ("stream-added", "ann"),
        ("stream-removed", "ann"),
        ("peer-leave", "ann"),
    ]
    assert await ann.heard() == [("connection-state-changed", "DISCONNECTED", "CONNECTING"), IN, ("peer-join", "bob"), OUT]
    assert await visits.stagedoor.rooms() == {room: ["bob"]}
    # Closing the stream is the application's business.
    assert await ann.page.evaluate("() => watch.local.getVideoTrack().readyState") == "live"


async def test_leave_without_need(visits, room):
    """To leave resolves before there was a join, and again after a leave; afterwards one can join again."""
    ann = Application(visits.stagedoor, await visits.page(), "ann", room)
    await ann.prepare()
    assert await ann.leave() == {"resolved": True}
    assert await ann.heard() == []
    assert await ann.join() == {"resolved": True}
    assert await ann.leave() == await ann.leave() == {"resolved": True}
    assert await ann.join() == {"resolved": True}
    assert await ann.heard("client-banned", "error") == []


async def test_the_same_anchor_again(visits, room):
    """The earlier one is told to go, the later one stays; the others hear the old one go before the new one comes."""
    bob = await visits.application("bob", room)
    first = await visits.application("ann", room, publishes=True)
    await bob.hears("stream-added", "ann")
    second = await visits.application("ann", room)
    await is_out(first, OUT, KICKED)
    await second.publish()
    await bob.sees("ann")
    events = [("peer-join", "ann"), ("stream-added", "ann"), ("stream-removed", "ann"), ("peer-leave", "ann")]
    assert [each for each in await bob.heard() if each[-1] == "ann"] == [*events, *events[:2]]
    assert await second.heard("client-banned", "connection-state-changed") == [
        ("connection-state-changed", "DISCONNECTED", "CONNECTING"),
        IN,
    ]
    assert await visits.stagedoor.rooms() == {room: ["ann", "bob"]}


async def test_the_same_audience_again(visits, room):
    """In a live room any number of viewers may have one userId, also an anchor's."""
    anchor = await visits.application("ann", room, mode="live", publishes=True)
    viewers = [await visits.application("ann", room, mode="live", role="audience") for _ in range(2)]
    await asyncio.gather(*(viewer.sees("ann") for viewer in viewers))
    assert [await each.heard("client-banned") for each in (anchor, *viewers)] == [[], [], []]


@pytest.mark.parametrize("action", ["RemoveUser", "RemoveUserByStrRoomId"])
async def test_remove_user(visits, room, action):
    """Those users hear it and only they: not the others of the room, not their namesakes in a room that is written alike."""
    rooms = (room, str(room)) if action == "RemoveUser" else (str(room), room)
    ann = await visits.application("ann", rooms[0], publishes=True)
    bob = await visits.application("bob", rooms[0])
    eve = await visits.application("eve", rooms[0], publishes=True)
    namesake = await visits.application("eve", rooms[1])
    await bob.hears("stream-added", "eve")
    await visits.stagedoor.call(action, RoomId=rooms[0], UserIds=["eve", "ann"])
    await asyncio.gather(is_out(eve, OUT, BANNED), is_out(ann, OUT, BANNED))
    await asyncio.gather(bob.hears("peer-leave", "ann"), bob.hears("peer-leave", "eve"))
    for user in ("ann", "eve"):
        assert [each for each in await bob.heard() if each[-1] == user][-2:] == [("stream-removed", user), ("peer-leave", user)]
    assert await visits.stagedoor.rooms() == {rooms[0]: ["bob"], rooms[1]: ["eve"]}
    assert await bob.heard("client-banned") == await namesake.heard("client-banned") == []
    # It is no ban: who was removed may come again.
    assert await eve.join() == {"resolved": True}


@pytest.mark.parametrize("action", ["DismissRoom", "DismissRoomByStrRoomId"])
async def test_dismiss_room(visits, room, action):
    """Everybody in the room hears it, viewers too; the next one to join is alone in a new room."""
    room = room if action == "DismissRoom" else str(room)
    ann = await visits.application("ann", room, mode="live", publishes=True)
    bob = await visits.application("bob", room, mode="live")
    viewer = await visits.application("viewer", room, mode="live", role="audience")
    await visits.stagedoor.call(action, RoomId=room)
    await asyncio.gather(*(is_out(each, OUT, DISBANDED) for each in (ann, bob, viewer)))
    assert await visits.stagedoor.rooms() == {}
    before = await ann.heard()
    assert await ann.join() == {"resolved": True}
    assert (await ann.heard())[len(before) :] == [("connection-state-changed", "DISCONNECTED", "CONNECTING"), IN]
    assert await visits.stagedoor.rooms() == {room: ["ann"]}


@pytest.mark.parametrize("how", ["closed", "reloaded"])
async def test_a_tab_that_is_gone(visits, room, how):
    """A tab that is closed or reloaded has left for the others at once, without the grace of a lost connection."""
    bob = await visits.application("bob", room)
    ann = await visits.application("ann", room, publishes=True)
    await bob.sees("ann")
    clock = asyncio.get_running_loop()
    began = clock.time()
    await (ann.page.close() if how == "closed" else ann.page.reload())
    assert (await bob.hears("peer-leave"))[-2:] == [("stream-removed", "ann"), ("peer-leave", "ann")]
    assert clock.time() - began < visits.stagedoor.grace


async def test_a_page_that_the_browser_keeps(visits, room):
    """Who goes to another page has left, also where the browser keeps the page for the way back; coming back, it hears of it."""
    bob = await visits.application("bob", room)
    # Without media, for with media browsers keep no page.
    ann = await visits.application("ann", room)
    await bob.hears("peer-join", "ann")
    await ann.page.goto("about:blank")
    await bob.hears("peer-leave", "ann")
    await ann.page.go_back(wait_until="commit")
    await is_out(ann, OUT, ("error", LOST))


async def test_a_removed_user_is_silent_both_ways(visits, room):
    """The gateway itself stops the media: to a page that hangs up nothing comes, and what it still sends goes to nobody."""
    bob = await visits.application("bob", room, publishes=True)
    eve = await visits.application("eve", room, publishes=True)
    ann = await visits.application("ann", room, autoSubscribe=False)
    await ann.hears("stream-added", "eve")
    assert await ann.subscribe("eve") == {"resolved": True}
    await asyncio.gather(ann.sees("eve"), eve.sees("bob"))
    await eve.page.evaluate("() => watch.keepConnections()")
    await visits.stagedoor.call("RemoveUser", RoomId=room, UserIds=["eve"])
    await asyncio.gather(is_out(eve, OUT, BANNED), ann.hears("stream-removed", "eve"))
    received, arrived = await eve.received(), await ann.arrived()
    await asyncio.gather(eve.sends(_MANY), bob.sends(_MANY))
    assert await eve.received() == received
    # The checks of the connection go on, a few a second.
    assert await ann.arrived() < arrived + _MANY / 5


_MANY = 100
"""Packets that a page sends in about one second and a half."""


SEED = """() => {
  const client = watch.client;
  client.on('client-banned', error => {
    console.error('client-banned observed: ' + error.message);
    // client-banned observed: client was banned because of duplicated userId joining the room.
    // client-banned observed: client was banned because of you got banned by account admin
  });
}"""


async def test_the_seed(visits, room):
    """The snippet that this project began with prints its two lines for its two causes."""
    first, second = [Application(visits.stagedoor, await visits.page(), "ann", room) for _ in range(2)]
    for each in (first, second):
        await each.prepare()
        await each.page.evaluate(SEED)
    await first.join()
    await second.join()
    await first.hears("client-banned")
    await visits.stagedoor.call("RemoveUser", RoomId=room, UserIds=["ann"])
    await second.hears("client-banned")

    async def printed():
        return visits.complaints if len(visits.complaints) >= 2 else None

    lines = [f"client-banned observed: {REPLACED}", f"client-banned observed: {REMOVED}"]
    assert await until(printed) == lines
    visits.expects(*lines)

"""Connections that break: the session goes on, and what its page hears when it does not."""

import pytest_asyncio

from tests.browser.cutting import Wire
from tests.browser.visitors import AWAY, BACK, BANNED, IN, KICKED, OUT_WHILE_AWAY, Application, is_out


@pytest_asyncio.fixture(loop_scope="session")
async def wire(visits):
    """Carry what goes through it to the gateway."""
    async with Wire(visits.stagedoor.ports["GATEWAY"]) as it:
        yield it


async def over(wire, visits, user, room):
    """Open an application's page over the wire, and let it publish."""
    it = Application(visits.stagedoor, await visits.page(wire.url), user, room)
    await it.prepare()
    assert await it.join() == {"resolved": True}
    await it.publish()
    assert wire.carried
    return it


async def test_a_connection_that_is_cut(visits, room, wire):
    """The page connects again, over the same media connections: nobody in the room hears of it, and all pictures go on."""
    bob = await visits.application("bob", room, publishes=True)
    ann = await over(wire, visits, "ann", room)
    await bob.sees("ann")
    await ann.sees("bob")
    before = await bob.heard(), await ann.heard()
    wire.cut()
    await ann.hears(*AWAY)
    wire.mend()
    await ann.hears(*BACK)
    await bob.sees("ann")
    await ann.sees("bob")
    assert (await bob.heard(), await ann.heard()) == (before[0], [*before[1], AWAY, BACK])
    assert await ann.connections() == ["connected", "connected"]
    # And the new socket is as good as the old one.
    await visits.stagedoor.call("RemoveUser", RoomId=room, UserIds=["ann"])
    await bob.hears("peer-leave", "ann")
    assert await ann.hears(*BANNED)


async def test_what_was_missed(visits, room, wire):
    """Who went and who came meanwhile is told afterwards, who went first."""
    bob = await visits.application("bob", room, publishes=True)
    ann = await over(wire, visits, "ann", room)
    await ann.sees("bob")
    wire.cut()
    before = await ann.hears(*AWAY)
    await bob.leave()
    await visits.application("cid", room, publishes=True)
    wire.mend()
    await ann.sees("cid")
    came, went = [("peer-join", "cid"), ("stream-added", "cid")], [("stream-removed", "bob"), ("peer-leave", "bob")]
    heard = (await ann.heard())[len(before) :]
    # Longer than the grace on a slow machine: then it came in anew, which makes no difference here.
    assert heard == [BACK, *went, *came]


async def test_longer_than_the_grace(visits, room, wire):
    """For the others it has gone; when it can, the page comes in anew by itself, and publishes what it had published."""
    bob = await visits.application("bob", room, publishes=True)
    ann = await over(wire, visits, "ann", room)
    await bob.sees("ann")
    await ann.sees("bob")
    wire.cut()
    assert (await bob.hears("peer-leave"))[-2:] == [("stream-removed", "ann"), ("peer-leave", "ann")]
    wire.mend()
    await bob.hears("stream-added", "ann", times=2)
    await bob.sees("ann")
    await ann.sees("bob")
    assert (await ann.heard())[-2:] == [AWAY, BACK]
    assert await ann.connections() == ["closed", "closed", "connected", "connected"]


async def test_removed_while_away(visits, room, wire):
    """A removal holds for who is not connected: the page hears of it as soon as it is, once, and stays out."""
    bob = await visits.application("bob", room)
    ann = await over(wire, visits, "ann", room)
    await bob.hears("stream-added", "ann")
    wire.cut()
    await ann.hears(*AWAY)
    await visits.stagedoor.call("RemoveUser", RoomId=room, UserIds=["ann"])
    await bob.hears("peer-leave", "ann")
    wire.mend()
    await is_out(ann, AWAY, OUT_WHILE_AWAY, BANNED)
    assert await ann.heard("client-banned") == [BANNED]
    # Who was in the room of the test before may still be within the grace.
    assert (await visits.stagedoor.rooms())[room] == ["bob"]


async def test_replaced_while_away(visits, room, wire):
    """The same userId has come in elsewhere: there it stays."""
    ann = await over(wire, visits, "ann", room)
    wire.cut()
    await ann.hears(*AWAY)
    other = await visits.application("ann", room)
    wire.mend()
    await is_out(ann, AWAY, OUT_WHILE_AWAY, KICKED)
    assert await other.heard() == [("connection-state-changed", "DISCONNECTED", "CONNECTING"), IN]


async def test_leaving_while_away(visits, room, wire):
    """It resolves, and the page does not come back."""
    bob = await visits.application("bob", room)
    ann = await over(wire, visits, "ann", room)
    await bob.hears("stream-added", "ann")
    wire.cut()
    await ann.hears(*AWAY)
    assert await ann.leave() == {"resolved": True}
    wire.mend()
    await bob.hears("peer-leave", "ann")
    assert (await ann.heard())[-2:] == [AWAY, OUT_WHILE_AWAY]
    socket = wire.url.replace("http", "ws") + "v1/signal"
    visits.expects(f"WebSocket connection to '{socket}' failed: WebSocket is closed before the connection is established.")


async def test_switching_the_role(visits, room):
    """Audience that becomes anchor can be seen; as audience again it is gone for the others, and still sees them."""
    bob = await visits.application("bob", room, mode="live", publishes=True)
    ann = await visits.application("ann", room, mode="live", role="audience")
    assert await ann.switch_role("anchor") == {"resolved": True}
    await ann.publish()
    await bob.sees("ann")
    assert await ann.switch_role("audience") == {"resolved": True}
    assert (await bob.hears("peer-leave"))[-2:] == [("stream-removed", "ann"), ("peer-leave", "ann")]
    await ann.sees("bob")

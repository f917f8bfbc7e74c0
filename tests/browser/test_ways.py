"""Ways to the gateway that end in mid-call: another is found, and the call goes on."""

import asyncio

import pytest_asyncio

from tests.browser.cutting import Wire
from tests.browser.visitors import AWAY, BANNED, OUT_WHILE_AWAY, Application, is_out
from tests.browser.waiting import until


@pytest_asyncio.fixture(loop_scope="session")
async def wire(visits):
    """Carry what goes through it to the gateway."""
    async with Wire(visits.stagedoor.ports["GATEWAY"]) as it:
        yield it


async def both_see(ann, bob):
    """Wait until each sees and hears more and more of the other."""
    await asyncio.gather(ann.sees("bob"), bob.sees("ann"))


async def test_a_phone_changes_networks(by_proxy, proxy, room):
    """The way is looked for anew (an ICE restart): same session, same peer connections, and nobody hears of anything."""
    people = ann, bob = [await by_proxy.application(user, room, publishes=True) for user in ("ann", "bob")]
    await both_see(ann, bob)
    before = [len(await each.heard()) for each in people]
    connections = [await each.page.evaluate("() => watch.connections.length") for each in people]
    assert connections == [2, 2]
    proxy.lose_clients()
    await both_see(ann, bob)
    assert [await each.page.evaluate("() => watch.connections.length") for each in people] == [2, 2]
    assert [await each.connections() for each in people] == [["connected"] * 2] * 2
    assert [(await each.heard())[count:] for each, count in zip(people, before, strict=True)] == [[], []]


async def test_who_is_removed_hears_it_over_the_way_of_media(visits, room, wire):
    """The socket is cut and does not come back; media goes on until the removal. It is told over the data channel, and says so."""
    await visits.application("bob", room, publishes=True)
    ann = Application(visits.stagedoor, await visits.page(wire.url), "ann", room)
    await ann.prepare()
    assert await ann.join() == {"resolved": True}
    await ann.sees("bob")
    wire.cut()
    await ann.hears(*AWAY)
    await ann.sees("bob")
    answer = await visits.stagedoor.answer("RemoveUser", RoomId=room, UserIds=["ann"])
    await is_out(ann, AWAY, OUT_WHILE_AWAY, BANNED)
    assert await ann.heard("client-banned") == [BANNED]
    (receipt,) = answer["Removed"]
    assert receipt["State"] == "confirmed"
    assert receipt["MediaStoppedAt"] <= receipt["ToldAt"]

    async def are_closed():
        return set(await ann.connections()) == {"closed"}

    await until(are_closed)
    # However many sockets were tried meanwhile.
    visits.complaints = [each for each in visits.complaints if not each.startswith("WebSocket connection to ")]

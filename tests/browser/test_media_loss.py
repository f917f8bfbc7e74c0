"""Media that is lost, and the sessions that it is not to cost."""

import os
import signal

import pytest_asyncio

from tests.browser.cutting import Wire
from tests.browser.visitors import BANNED, OUT, Application, is_out
from tests.support.processes import media_workers, running


@pytest_asyncio.fixture(loop_scope="session")
async def wire(visits):
    """Carry what goes through it to the gateway."""
    async with Wire(visits.stagedoor.ports["GATEWAY"]) as it:
        yield it


async def test_a_media_worker_is_killed(visits, room):
    """Both pictures come back; the room sees the streams go and come, nobody sees anybody leave, and the sessions are the same."""
    bob = await visits.application("bob", room, publishes=True)
    ann = await visits.application("ann", room, publishes=True)
    await bob.sees("ann")
    await ann.sees("bob")
    before = {page: len(await page.heard()) for page in (ann, bob)}
    sockets = [await page.page.evaluate("() => watch.sockets.length") for page in (ann, bob)]
    visits.stagedoor.expected.add("media_worker_ended")
    (worker,) = media_workers(visits.stagedoor.process.pid)
    os.kill(worker, signal.SIGKILL)
    await bob.hears("stream-added", "ann", times=2)
    await ann.hears("stream-added", "bob", times=2)
    await bob.sees("ann")
    await ann.sees("bob")
    for page, other in ((ann, "bob"), (bob, "ann")):
        assert (await page.heard())[before[page] :] == [("stream-removed", other), ("stream-added", other)]
    # Nobody had to connect again for it.
    assert [await page.page.evaluate("() => watch.sockets.length") for page in (ann, bob)] == sockets


async def test_signalling_stands_still(visits, room):
    """Pictures move on all the same, and when it goes on again nobody has noticed."""
    bob = await visits.application("bob", room, publishes=True)
    ann = await visits.application("ann", room, publishes=True)
    await bob.sees("ann")
    before = [await page.heard() for page in (ann, bob)]
    (gateway,) = running(visits.stagedoor.process.pid, "services.edge_gateway")
    os.kill(gateway, signal.SIGSTOP)
    try:
        for _ in range(3):
            await bob.sees("ann")
            await ann.sees("bob")
    finally:
        os.kill(gateway, signal.SIGCONT)
    await visits.stagedoor.rooms()
    assert [await page.heard() for page in (ann, bob)] == before


async def test_the_gateway_hangs_up_and_the_socket_says_nothing(visits, room, wire):
    """The page sees that DTLS was closed, long before its connection counts as lost, and asks: it was removed."""
    ann = Application(visits.stagedoor, await visits.page(wire.url), "ann", room)
    await ann.prepare()
    # Nothing but that event can tell it.
    await ann.page.evaluate("() => { window.setInterval = () => 0; }")
    assert await ann.join() == {"resolved": True}
    await ann.publish()
    await ann.page.evaluate(NOTE_STATES)
    wire.swallow()
    await visits.stagedoor.call("RemoveUser", RoomId=room, UserIds=["ann"])
    await is_out(ann, OUT, BANNED)
    assert await ann.heard("client-banned") == [BANNED]
    assert await ann.page.evaluate("() => watch.states") == []


NOTE_STATES = """() => {
  watch.states = [];
  for (const each of watch.connections) {
    each.addEventListener('connectionstatechange', () => watch.states.push(each.connectionState));
  }
}"""

"""The main path once more, in Debian's Firefox."""

import asyncio

from tests.browser.conftest import WATCH
from tests.browser.cutting import Wire
from tests.browser.firefox import firefox
from tests.browser.visitors import AWAY, BACK, BANNED, OUT_WHILE_AWAY, REMOVED, Application, Person, is_out


async def test_firefox_and_chromium(visits, room, tmp_path):
    """They see each other; Firefox is removed, hears why and gives its devices back; Chromium stays."""
    ann = await visits.person()
    ann_id = await ann.join(room)
    async with firefox(tmp_path / "profile", WATCH) as browser:
        bob = Person(await browser.open(visits.stagedoor.url))
        bob_id = await bob.join(room)
        await asyncio.gather(ann.sees(bob_id), bob.sees(ann_id))
        assert await bob.captured() == {"audio": "live", "video": "live"}
        await visits.stagedoor.call("RemoveUser", RoomId=room, UserIds=[bob_id])
        assert await bob.banner() == "You are out of the room: an administrator removed you."
        assert (await bob.heard())[-2:] == [
            ("connection-state-changed", "CONNECTED to DISCONNECTED"),
            ("client-banned", REMOVED),
        ]
        assert await bob.captured() == {"audio": "ended", "video": "ended"}
        # Firefox 140 complains of the watching script itself, 153 does not.
        complaints = [each for each in browser.complaints if each != 'Error: Permission denied to access property "length"']
        assert complaints == [f"client-banned observed: {REMOVED}"]
    assert (await ann.hears(("peer-leave", bob_id)))[-2:] == [("stream-removed", bob_id), ("peer-leave", bob_id)]
    assert await ann.page.is_hidden("#banner")


async def test_an_application_in_firefox(by_proxy, proxy, room, tmp_path):
    """Roles, mutes, a second picture, a socket that is cut, another network, and a removal while the socket is away."""
    stagedoor = by_proxy.stagedoor
    ann = await by_proxy.application("ann", room, mode="live", publishes=True)
    async with firefox(tmp_path / "profile", WATCH) as browser, Wire(stagedoor.ports["GATEWAY"]) as wire:
        # It would try the gateway's own address first where it has a name.
        page = await browser.open(wire.url.replace("localhost", "[::1]"))
        bob = Application(stagedoor, page, "bob", room, mode="live", role="audience")
        await bob.prepare()
        assert await bob.join() == {"resolved": True}
        await bob.sees("ann")
        assert await bob.switch_role("anchor") == {"resolved": True}
        await bob.publish()
        await ann.sees("bob")
        await bob.page.evaluate("() => [watch.local.muteAudio(), watch.local.unmuteAudio()].length")
        await ann.hears("unmute-audio", "bob")
        await bob.page.evaluate("() => watch.publishDrawing('bob')")
        await ann.decodes("bob auxiliary", 3)

        before = await ann.heard()
        wire.cut()
        await bob.hears(*AWAY)
        wire.mend()
        await bob.hears(*BACK)
        await asyncio.gather(ann.sees("bob"), bob.sees("ann"))
        proxy.lose_clients()
        await asyncio.gather(ann.decodes("bob", 20), ann.decodes("bob auxiliary", 3), bob.sees("ann"))
        assert len(await bob.connections()) == 3
        assert await ann.heard() == before

        assert await bob.switch_role("audience") == {"resolved": True}
        await ann.hears("peer-leave", "bob")
        wire.cut()
        await bob.hears(*AWAY, times=2)
        (receipt,) = (await stagedoor.answer("RemoveUser", RoomId=room, UserIds=["bob"]))["Removed"]
        await is_out(bob, AWAY, OUT_WHILE_AWAY, BANNED)
        assert receipt["State"] == "confirmed"

"""The main path once more, in Debian's Firefox."""

import asyncio

from tests.browser.conftest import WATCH
from tests.browser.firefox import firefox
from tests.browser.visitors import REMOVED, Person


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

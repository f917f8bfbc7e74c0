"""The demo page, through its own controls."""

import asyncio

import pytest

from tests.browser.chromium import chromium
from tests.browser.cutting import Wire
from tests.browser.visitors import DISMISSED, REMOVED, REPLACED
from tests.browser.waiting import until

REPLACED_WORDS = "You are out of the room: the same user id joined it from somewhere else."
REMOVED_WORDS = "You are out of the room: an administrator removed you."
DISMISSED_WORDS = "You are out of the room: an administrator closed it for everybody."
LOST_WORDS = "You are out of the room: the connection to the gateway was lost."

LIVE = {"audio": "live", "video": "live"}
OFF = {"audio": "ended", "video": "ended"}
OUT = ("connection-state-changed", "CONNECTED to DISCONNECTED")


async def is_outside(person):
    """Check that the page is as before the join: devices given back, nobody shown, the form open again."""
    assert await person.captured() == OFF
    looks = """() => [
        document.getElementById('state').textContent,
        document.querySelectorAll('.tile, #people li').length,
        document.getElementById('join').disabled,
        document.getElementById('leave').disabled,
    ]"""
    assert await person.page.evaluate(looks) == ["not in a room", 0, False, True]


async def test_a_page_does_nothing_by_itself(visits):
    """Each load proposes another userId; nothing is dialled and no device is opened before somebody joins."""
    page = await visits.page()
    dialled = []
    page.on("websocket", lambda socket: dialled.append(socket.url))
    proposed = set()
    for _ in range(3):
        await page.reload(wait_until="networkidle")
        proposed.add(await page.input_value("#user"))
        assert await page.evaluate("() => [watch.asked, watch.connections.length, watch.heard.length]") == [0, 0, 0]
    assert len(proposed) == 3
    assert dialled == []


async def test_leave(visits, room):
    """The camera's light goes off, and there is nothing to explain; the same page can join again."""
    ann = await visits.person()
    user = await ann.join(room)
    assert await ann.captured() == LIVE
    await ann.page.click("#leave")
    assert (await ann.hears(("left", "")))[-2:] == [OUT, ("left", "")]
    await is_outside(ann)
    assert await ann.page.is_hidden("#banner")
    await ann.page.click("#join")
    await ann.page.wait_for_selector(f'.tile[data-user="{user}"]')


async def test_leave_at_once(visits, room):
    """Whoever changes their mind while the page still joins is not in the room, and can join again."""
    ann = await visits.person()
    await ann.page.fill("#room", str(room))
    # In one go: a person is not so fast, but a slow gateway makes everybody fast.
    await ann.page.evaluate("() => { document.getElementById('join').click(); document.getElementById('leave').click(); }")
    await ann.hears(("left", ""))
    assert await visits.stagedoor.rooms() == {}
    user = await ann.join(room)
    assert await visits.stagedoor.rooms() == {room: [user]}
    assert await ann.page.is_hidden("#banner")


async def test_removed_while_the_browser_asks_for_devices(visits, room):
    """A permission that is given when the user is out already opens nothing for longer than a moment."""
    ann = await visits.person()
    await ann.page.evaluate("() => watch.holdDevices()")
    user = await ann.page.input_value("#user")
    await ann.page.fill("#room", str(room))
    await ann.page.click("#join")
    await ann.hears(("joined", str(room)))
    await visits.stagedoor.call("RemoveUser", RoomId=room, UserIds=[user])
    assert await ann.banner() == REMOVED_WORDS
    await ann.page.evaluate("() => watch.releaseDevices()")

    async def is_off():
        return await ann.captured() == OFF

    await until(is_off)
    await is_outside(ann)
    visits.expects(f"client-banned observed: {REMOVED}")


async def test_the_same_user_id_in_another_tab(visits, room):
    """The earlier tab says in words why it is out and gives its devices back; the later one stays."""
    ann, again = await visits.person(), await visits.person()
    await ann.join(room, user="ann")
    await again.join(room, user="ann")
    assert await ann.banner() == REPLACED_WORDS
    assert (await ann.heard())[-2:] == [OUT, ("client-banned", REPLACED)]
    await is_outside(ann)
    assert await again.captured() == LIVE
    assert await again.page.is_hidden("#banner")
    visits.expects(f"client-banned observed: {REPLACED}")


async def test_removed_and_dismissed(visits, room):
    """Each cause has its own words; what the page says in the console are the seed's."""
    ann = await visits.person()
    user = await ann.join(room)
    await visits.stagedoor.call("RemoveUser", RoomId=room, UserIds=[user])
    assert await ann.banner() == REMOVED_WORDS
    assert (await ann.heard())[-2:] == [OUT, ("client-banned", REMOVED)]
    await is_outside(ann)
    await ann.page.click("#banner-close")
    assert await ann.page.is_hidden("#banner")
    await ann.join(room)
    await visits.stagedoor.call("DismissRoom", RoomId=room)
    assert await ann.banner() == DISMISSED_WORDS
    assert (await ann.heard())[-2:] == [OUT, ("client-banned", DISMISSED)]
    await is_outside(ann)
    visits.expects(f"client-banned observed: {REMOVED}", f"client-banned observed: {DISMISSED}")


async def test_a_connection_that_is_cut(visits, room):
    """The page says that it connects again, and then that it is in the room."""
    async with Wire(visits.stagedoor.ports["GATEWAY"]) as wire:
        ann = await visits.person(wire.url)
        await ann.join(room)
        assert wire.carried
        wire.cut()
        await ann.hears(("connection-state-changed", "CONNECTED to RECONNECTING"))
        assert await ann.page.text_content("#state") == "connecting again …"
        wire.mend()
        await ann.hears(("connection-state-changed", "RECONNECTING to CONNECTED"))
        assert await ann.page.text_content("#state") == "in the room"


async def test_a_connection_that_is_lost(visits, room):
    """It is no ban; the page says so in words and gives its devices back."""
    ann = await visits.person()
    await ann.join(room)
    await ann.page.evaluate("() => watch.sockets.at(-1).send('[]')")
    assert await ann.banner() == LOST_WORDS
    last = (await ann.heard())[-2:]
    assert (last[0], last[1][0]) == (OUT, "error")
    await is_outside(ann)
    visits.expects("the gateway complains: message: Input should be an object")


async def test_names_that_trtc_accepts(visits, room):
    """A room with a space and a user with an emoji work from the form to RemoveUserByStrRoomId and back."""
    name, user = f"a.b c>{room}", "用户2 😀"
    bob, ann = await visits.person(), await visits.person()
    await bob.join(name, user="bob", by_string=True)
    await ann.join(name, user=user, by_string=True)
    await asyncio.gather(bob.sees(user), ann.sees("bob"))
    assert await bob.page.inner_text("#people") == user
    await visits.stagedoor.call("RemoveUserByStrRoomId", RoomId=name, UserIds=[user])
    assert await ann.banner() == REMOVED_WORDS
    assert (await bob.hears(("peer-leave", user)))[-2:] == [("stream-removed", user), ("peer-leave", user)]
    visits.expects(f"client-banned observed: {REMOVED}")


async def test_a_room_that_trtc_refuses(visits):
    """The page says what is wrong, opens no device, and lets one try again."""
    ann = await visits.person()
    await ann.page.fill("#room", "lobby")
    await ann.page.click("#join")
    assert "'options.roomId' must be an integer between [1, 4294967294]" in await ann.banner()
    assert await ann.page.evaluate("() => watch.asked") == 0
    assert await ann.page.is_enabled("#join")


async def test_a_test_picture_on_request(visits, room):
    """Who asks for the test picture and tone is not asked for devices; the others see and hear them."""
    ann, bob = await visits.person(), await visits.person()
    await ann.page.check("#use-test")
    user = await ann.join(room)
    await bob.join(room)
    await bob.sees(user)
    assert await ann.page.evaluate("() => watch.asked") == 0


async def test_permission_denied(visits, room):
    """The page says so and sends the test picture."""
    ann, bob = await visits.person(), await visits.person()
    await visits.forbid(ann.page, "camera", "microphone")
    user = await ann.join(room)
    missing = "No microphone (permission was denied) and no camera (permission was denied). "
    assert await ann.notice() == missing + "A test picture and tone are sent instead."
    assert await ann.captured() == {}
    await bob.join(room)
    await bob.sees(user)


async def test_no_devices(visits, room, tmp_path):
    """On a machine without camera and microphone the page says so and sends the test picture."""
    bob = await visits.person()
    bob_id = await bob.join(room)
    async with chromium(tmp_path / "profile") as browser:
        ann = await visits.person(browser=browser)
        user = await ann.join(room)
        missing = "No microphone (none was found) and no camera (none was found). "
        assert await ann.notice() == missing + "A test picture and tone are sent instead."
        await asyncio.gather(bob.sees(user), ann.sees(bob_id))
        await ann.page.context.close()


@pytest.mark.parametrize("device", ["camera", "microphone"])
async def test_only_one_device(visits, room, device):
    """What there is is sent, and the page says what is missing."""
    ann, bob = await visits.person(), await visits.person()
    await visits.forbid(ann.page, device)
    user = await ann.join(room)
    left, words = {
        "camera": ("audio", "Only sound is sent, no picture (camera: permission was denied)."),
        "microphone": ("video", "Only the picture is sent, no sound (microphone: permission was denied)."),
    }[device]
    assert await ann.notice() == words
    assert await ann.captured() == {left: "live"}
    await bob.join(room)
    await bob.hears(("stream-subscribed", user))
    shown = {"audio": "sound", "video": "picture"}[left]
    assert await bob.page.inner_text(f'.tile[data-user="{user}"] .what') == shown


async def test_no_gesture_no_sound(visits, room):
    """Where the browser wants a gesture before it sounds, there is a button; a click on it, and there is sound."""
    await visits.application("anchor", room, mode="live", publishes=True)
    page = await visits.page(permissions=())
    # Whatever Playwright evaluates counts as a gesture, so this goes past it.
    session = await page.context.new_cdp_session(page)

    async def evaluate(expression):
        return (await session.send("Runtime.evaluate", {"expression": expression}))["result"].get("value")

    for field, value in (("mode", "live"), ("role", "audience"), ("room", room)):
        await evaluate(f"document.getElementById('{field}').value = '{value}'")
    await evaluate("document.getElementById('form').requestSubmit()")
    await until(lambda: evaluate("document.getElementById('hear').checkVisibility()"))
    paused = "document.querySelector('.tile audio').paused"
    assert await evaluate(paused) is True
    await page.click("#hear")
    await until(lambda: evaluate(f"!{paused}"))
    assert await page.is_hidden("#hear")

"""One picture in two sizes: each viewer gets the one that it asks for, or that its line takes, without a seam."""

import pytest

from tests.browser.waiting import until

BIG, SMALL = 640, 160
TIMES = 10


async def shows(viewer, user, width):
    """Wait until a user's picture is so wide; return how it comes in."""

    async def is_wide():
        now = await viewer.picture(user)
        return now if now and now["frameWidth"] == width else None

    return await until(is_wide, 60)


async def both_sizes(sender):
    """Wait until both sizes go out."""

    async def are_sent():
        ways = await sender.picture_sent()
        return ways if all(ways.get(rid, {}).get("framesSent", 0) > 10 for rid in ("big", "small")) else None

    return await until(are_sent, 60)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_ten_switches_up_and_down_without_a_freeze(by_proxy, proxy, room, codec):
    """Ten times to the small picture and back: what one asks for comes, the picture never stands still, and nothing is lost."""
    ann = await by_proxy.application("ann", room, publishes=True, codec=codec, small=True)
    bob = await by_proxy.application("bob", room)
    await both_sizes(ann)
    first = await shows(bob, "ann", BIG)
    sent_first = await both_sizes(ann)
    for _ in range(TIMES):
        for size, width in (("small", SMALL), ("big", BIG)):
            assert await prefer(bob, "ann", size) == {"resolved": True}
            await shows(bob, "ann", width)
            await bob.decodes("ann", 5)
    last = await bob.picture("ann")
    sent_last = await both_sizes(ann)
    assert last["codec"] == f"video/{codec}"
    # A picture that stands still waits for a key frame and asks for one, or is not decoded while it is sent.
    assert (last["packetsLost"], last["pliCount"]) == (0, first["pliCount"])
    sent = sent_last["big"]["framesSent"] - sent_first["big"]["framesSent"]
    assert last["framesDecoded"] - first["framesDecoded"] >= 0.85 * sent


async def prefer(viewer, user, size):
    """Ask for a size of a user's picture."""
    call = "([user, size]) => watch.outcome(watch.client.setRemoteVideoStreamType(watch.streamOf(user), size))"
    return await viewer.page.evaluate(call, [user, size])


async def test_each_viewer_has_its_own_size(by_proxy, proxy, room):
    """What one asks for changes nothing for another."""
    ann = await by_proxy.application("ann", room, publishes=True, small=True)
    bob, cyd = await by_proxy.application("bob", room), await by_proxy.application("cyd", room)
    await both_sizes(ann)
    await prefer(bob, "ann", "small")
    await shows(bob, "ann", SMALL)
    await shows(cyd, "ann", BIG)
    await cyd.decodes("ann", 10)
    assert (await cyd.picture("ann"))["frameWidth"] == BIG


async def test_a_short_line_gets_the_small_picture(by_proxy, proxy, room):
    """Who asks for the big picture and cannot take it gets the small one, which goes on, and the big one when there is room again."""
    ann = await by_proxy.application("ann", room, publishes=True, small=True, autoSubscribe=False)
    bob = await by_proxy.application("bob", room)
    await both_sizes(ann)
    await shows(bob, "ann", BIG)
    proxy.down.bits_per_second = 250_000
    await shows(bob, "ann", SMALL)
    await bob.decodes("ann", 20)
    proxy.reset()
    await shows(bob, "ann", BIG)

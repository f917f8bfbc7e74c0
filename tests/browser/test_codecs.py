"""Pictures in every codec that is forwarded, from browser to browser."""

import asyncio

import pytest

FRAMES = 60


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
async def test_two_send_and_three_see_every_frame(by_proxy, proxy, room, codec):
    """What two publish in a codec, three decode as fast as it is sent, and nothing is lost on the way."""
    senders = await asyncio.gather(
        *(by_proxy.application(user, room, publishes=True, codec=codec, autoSubscribe=False) for user in ("ann", "bob"))
    )
    viewers = await asyncio.gather(*(by_proxy.application(user, room) for user in ("cyd", "dan", "eve")))
    await asyncio.gather(*(viewer.decodes(sender.user, 1) for viewer in viewers for sender in senders))
    sent_before = [await sent(sender) for sender in senders]
    before = [[await viewer.picture(sender.user) for sender in senders] for viewer in viewers]
    await asyncio.gather(*(viewer.decodes(sender.user, FRAMES) for viewer in viewers for sender in senders))
    after = [[await viewer.picture(sender.user) for sender in senders] for viewer in viewers]
    sent_after = [await sent(sender) for sender in senders]
    for viewer_before, viewer_after in zip(before, after, strict=True):
        for index, (first, last) in enumerate(zip(viewer_before, viewer_after, strict=True)):
            assert last["codec"] == f"video/{codec}"
            assert (last["packetsLost"], last["pliCount"]) == (0, first["pliCount"])
            # They are counted one after the other: what is sent between the two looks is a few frames.
            assert last["framesDecoded"] - first["framesDecoded"] >= 0.8 * (sent_after[index] - sent_before[index])


async def sent(sender):
    """Count the frames that went out."""
    (way,) = (await sender.picture_sent()).values()
    return way["framesSent"]


async def test_who_cannot_decode_a_codec_is_told(by_proxy, proxy, room):
    """By an error event for what is received unasked, and by subscribe()'s rejection; the sound comes all the same."""
    await by_proxy.application("ann", room, publishes=True, codec="H264")
    bob = await by_proxy.application("bob", room + 1)
    await bob.page.evaluate("() => watch.showNo('H264')")
    await bob.leave()
    await bob.join(roomId=room)
    await bob.hears("error", 0x4049)
    refused = await bob.subscribe("ann", audio=True, video=True)
    assert (refused["name"], refused["code"]) == ("RtcError", 0x4049)
    assert await bob.subscribe("ann", audio=True, video=False) == {"resolved": True}
    assert await bob.page.evaluate("() => !!watch.streamOf('ann').getAudioTrack()")


async def test_a_publisher_is_given_no_other_codec(visits, room):
    """A gateway that forwards VP8 alone refuses a browser that sends none of it, and the application learns why."""
    ann = await visits.application("ann", room, codec="VP9")
    outcome = await ann.page.evaluate("() => watch.outcome(watch.publish('ann'))")
    assert (outcome["name"], outcome["code"]) == ("RtcError", 0x1002)

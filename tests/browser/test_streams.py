"""What people do with streams: mute them, and show a screen beside the camera."""

from tests.browser.waiting import until


async def test_a_mute_is_heard_by_those_who_are_there_and_those_who_come(visits, room):
    """By its kind, and once for each change."""
    ann, bob = await visits.application("ann", room, publishes=True), await visits.application("bob", room)
    await bob.sees("ann")
    await ann.page.evaluate("() => [watch.local.muteAudio(), watch.local.muteVideo(), watch.local.unmuteAudio()]")
    await bob.hears("unmute-audio", "ann")
    muting = [each[0] for each in await bob.heard() if "mute" in each[0]]
    assert muting == ["mute-audio", "mute-video", "unmute-audio"]
    late = await visits.application("late", room)
    await late.hears("mute-video", "ann")
    (state,) = await late.page.evaluate("() => watch.client.getRemoteMutedState()")
    assert (state["userId"], state["audioMuted"], state["videoMuted"]) == ("ann", False, True)


async def test_a_second_picture_beside_the_camera(visits, room):
    """Both arrive, each as what it is; one ends and the other goes on."""
    ann, bob = await visits.application("ann", room, publishes=True), await visits.application("bob", room)
    await bob.sees("ann")
    await ann.page.evaluate("() => watch.publishDrawing('ann')")
    await bob.decodes("ann auxiliary", 3)
    types = "() => ['ann', 'ann auxiliary'].map((name) => watch.streamOf(name).getType())"
    assert await bob.page.evaluate(types) == ["main", "auxiliary"]
    stats = await bob.page.evaluate("() => watch.client.getRemoteVideoStats('auxiliary')")
    assert stats["ann"]["framesDecoded"] >= 3
    await ann.page.evaluate("() => watch.client.unpublish(watch.local)")
    await bob.hears("stream-removed", "ann")
    await bob.decodes("ann auxiliary", 3)


async def test_how_the_line_is(visits, room):
    """The application hears of it again and again, and may ask for more."""
    ann, bob = await visits.application("ann", room, publishes=True), await visits.application("bob", room)
    await bob.sees("ann")
    quality = "() => new Promise((resolve) => watch.client.on('network-quality', resolve))"
    heard = await bob.page.evaluate(quality)
    assert {"uplinkNetworkQuality", "downlinkNetworkQuality", "uplinkRTT", "downlinkLoss"} <= heard.keys()

    async def is_sent():
        return (await ann.page.evaluate("() => watch.client.getLocalVideoStats()"))["ann"]["framesSent"]

    await until(is_sent)
    assert (await bob.page.evaluate("() => watch.client.getRemoteAudioStats()"))["ann"]["packetsReceived"] > 0
    assert "ann" in (await bob.page.evaluate("() => watch.client.getTransportStats()"))["downlinksRTT"]

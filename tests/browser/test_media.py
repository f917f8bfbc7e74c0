"""Pictures and sound, from browser to browser."""

import asyncio


async def test_two_publish_and_see_each_other(visits, room):
    """Whoever came first and whoever came later decode each other's pictures and receive each other's sound."""
    ann, bob = await visits.person(), await visits.person()
    ann_id, bob_id = await ann.join(room), await bob.join(room)
    await asyncio.gather(ann.sees(bob_id), bob.sees(ann_id))
    first = [("peer-join", bob_id), ("stream-added", bob_id), ("stream-subscribed", bob_id)]
    assert [each for each in await ann.heard() if each[1] == bob_id] == first


async def test_a_viewer_gives_nothing_and_sees(visits, room):
    """The audience of a live room is asked for no device and announced to nobody, and receives."""
    anchor = await visits.application("anchor", room, mode="live", publishes=True)
    viewer = await visits.person(permissions=())
    await viewer.join(room, audience=True)
    await viewer.sees("anchor")
    assert await viewer.page.evaluate("() => watch.asked") == 0
    assert await anchor.heard("peer-join") == []


async def test_streams_come_and_go(visits, room):
    """A viewer's connection outlives the streams that it carried: each new one is seen, and those that stay are not disturbed."""
    ann = await visits.application("ann", room, publishes=True)
    bob = await visits.application("bob", room)
    carl = await visits.application("carl", room, publishes=True)
    await bob.sees("ann")
    for times in (1, 2):
        await bob.sees("carl")
        await carl.leave()
        await bob.hears("peer-leave", "carl", times=times)
        await bob.sees("ann")
        await carl.join()
        await carl.publish()
    await asyncio.gather(bob.sees("carl"), carl.sees("ann"), ann.sees("carl"))

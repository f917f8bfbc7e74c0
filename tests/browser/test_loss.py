"""A path that loses, delays and reorders."""

import asyncio


async def test_three_percent_lost_each_way_are_repaired(by_proxy, proxy, room):
    """With three of a hundred datagrams lost both ways, and some late, no picture stands still: what is lost is sent again."""
    ann = await by_proxy.application("ann", room, publishes=True, autoSubscribe=False)
    bob, cyd = await by_proxy.application("bob", room), await by_proxy.application("cyd", room)
    first = [await viewer.decodes("ann", 20) for viewer in (bob, cyd)]
    for rule in (proxy.up, proxy.down):
        rule.loss, rule.reorder, rule.delay = 0.03, 0.02, 0.02
    last = await asyncio.gather(*(viewer.decodes("ann", 200) for viewer in (bob, cyd)))
    for before, after in zip(first, last, strict=True):
        # A picture that stands still waits for a key frame, and asks for one.
        assert after["pliCount"] == before["pliCount"]
        assert after["framesDecoded"] >= 0.95 * after["framesReceived"]
        assert after["nackCount"] > before["nackCount"]
    assert all(count > 10 for count in proxy.dropped)
    assert (await ann.picture_sent())[""]["repaired"] > 0

"""Ways to the gateway that end in mid-call: another is found, and the call goes on."""

import asyncio


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

"""The SDK's calls against a real gateway, in a real browser: what resolves, what rejects, and with which codes."""

import time

import pytest

from shared.auth.apps import App
from shared.auth.usersig import sign
from tests.browser.visitors import Application

JOIN_ROOM_FAILED = 0x4004
INVALID_OPERATION = 0x1001
OTHER_KEY = "0" * 64


def sig_of_another_key(stagedoor):
    return {"userSig": stagedoor.sign("ann", key=OTHER_KEY)}


def sig_of_yesterday(stagedoor):
    app = App(stagedoor.app, stagedoor.credentials["STAGEDOOR_SECRET_KEY"])
    return {"userSig": sign(app, "ann", int(time.time()) - 86_400, expire=600)}


def sig_of_another_user(stagedoor):
    return {"userSig": stagedoor.sign("bob")}


def another_app(stagedoor):
    return {"sdkAppId": stagedoor.app + 1}


def no_sig(_stagedoor):
    return {"userSig": "this is none"}


@pytest.mark.parametrize(
    ("config", "extra"),
    [
        (sig_of_another_key, 70003),
        (sig_of_yesterday, 70001),
        (sig_of_another_user, 70013),
        (another_app, 70020),
        (no_sig, 70003),
    ],
)
async def test_a_usersig_that_is_refused(visits, room, config, extra):
    """join() rejects with an RtcError of code 0x4004 that has the vendor's number for the cause, and the client is out."""
    ann = Application(visits.stagedoor, await visits.page(), "ann", room)
    await ann.prepare(**config(visits.stagedoor))
    outcome = await ann.join()
    assert (outcome["name"], outcome["code"], outcome["extra"]) == ("RtcError", JOIN_ROOM_FAILED, extra)
    assert outcome["message"].startswith("Failed to join room - ")
    assert f"code: {extra} " in outcome["message"]
    assert await ann.heard() == [
        ("connection-state-changed", "DISCONNECTED", "CONNECTING"),
        ("connection-state-changed", "CONNECTING", "DISCONNECTED"),
    ]


async def test_unpublish_and_publish_again(visits, room):
    """The others hear the stream go and come, and the peer stay."""
    bob = await visits.application("bob", room)
    ann = await visits.application("ann", room, publishes=True)
    await bob.sees("ann")
    again = await ann.page.evaluate("() => watch.outcome(watch.client.publish(watch.local))")
    assert again["code"] == INVALID_OPERATION
    await ann.page.evaluate("() => watch.client.unpublish(watch.local)")
    await bob.hears("stream-removed", "ann")
    await ann.page.evaluate("() => watch.client.publish(watch.local)")
    await bob.sees("ann")
    events = [each[0] for each in await bob.heard() if each[-1] == "ann"]
    assert events == ["peer-join", "stream-added", "stream-removed", "stream-added"]


async def test_subscribe_to_what_is_wanted(visits, room):
    """What is not subscribed does not come; what is unsubscribed ends; and it can be subscribed again."""
    await visits.application("ann", room, publishes=True)
    bob = await visits.application("bob", room, autoSubscribe=False)
    assert await bob.subscribe("ann", audio=True, video=False) == {"resolved": True}
    sound = await bob.page.evaluate("() => { const s = watch.streamOf('ann'); return [!!s.getAudioTrack(), !!s.getVideoTrack()]; }")
    assert sound == [True, False]
    assert await bob.subscribe("ann", audio=True, video=True) == {"resolved": True}
    await bob.sees("ann")
    assert await bob.unsubscribe("ann") == {"resolved": True}
    assert await bob.page.evaluate("() => watch.streamOf('ann').getVideoTrack()") is None
    assert await bob.subscribe("ann") == {"resolved": True}
    await bob.sees("ann")


async def test_audience_may_not_publish(visits, room):
    """A viewer's publish() rejects, and the viewer stays."""
    viewer = await visits.application("viewer", room, mode="live", role="audience")
    outcome = await viewer.page.evaluate("() => watch.outcome(watch.publish('viewer'))")
    assert outcome["code"] == INVALID_OPERATION
    assert await viewer.leave() == {"resolved": True}

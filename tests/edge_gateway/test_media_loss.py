"""A peer connection that is no more: the client is told, the room sees the stream go, and all can be had anew."""

import asyncio
import os
import signal

import httpx
import pytest
from stagedoor_client import RefusedError

from services.edge_gateway.app import build
from services.edge_gateway.media.interface import MediaRefusedError, TransportFailed
from tests.support.processes import media_workers
from tests.support.running import running, until_ready

SDP = "v=0 offer"


def lose(gateway, client, connection):
    """Have the engine say that one of a client's peer connections failed."""
    gateway.media.on_failed(TransportFailed(f"{client.session}.{client.attachment}", connection, "DTLS failed"))


async def published(client):
    return (await client.request("publish", kind="main", sdp=SDP))["stream"]


async def subscribed(client, stream):
    await client.request("subscribe", stream=stream, audio=True, video=False)
    return await client.expect("offer")


async def test_a_lost_publication_is_taken_back(gateway):
    """Its client is told, the others see the stream go and come, and nobody the session."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        first = await published(ann)
        await bob.expect("stream_added")
        lose(gateway, ann, "publish")
        assert await ann.expect("media_lost") == {"type": "media_lost", "connection": "publish"}
        assert (await bob.messages.get())["stream"] == first
        again = await published(ann)
        added = await bob.messages.get()
        assert (added["type"], added["stream"], added["session"]) == ("stream_added", again, ann.session)


async def test_a_lost_subscription_is_made_anew(gateway):
    """The client says again what it wants; offers are counted on, and answers to former ones say nothing."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = await published(ann)
        await bob.expect("stream_added")
        assert (await subscribed(bob, stream))["number"] == 1
        lose(gateway, bob, "subscribe")
        assert await bob.expect("media_lost") == {"type": "media_lost", "connection": "subscribe"}
        await bob.send({"type": "answer", "number": 1, "sdp": "v=0 late"})
        offer = await subscribed(bob, stream)
        assert offer["number"] == 2
        await bob.send({"type": "answer", "number": 2, "sdp": "v=0 answer"})
        await subscribed(bob, stream)
        answers = [call for call in gateway.media.calls if call[0] == "answer"]
        assert answers == [("answer", f"{bob.session}.1", 1)]


async def test_a_client_may_ask_for_another_connection(gateway):
    """It is the one that notices when nothing comes any more."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = await published(ann)
        await bob.expect("stream_added")
        await subscribed(bob, stream)
        assert await bob.request("reconnect") == {}
        offer = await subscribed(bob, stream)
        assert (offer["number"], offer["tracks"]) == (2, [{"mid": "0", "stream": stream, "kind": "audio"}])
        engine_id = f"{bob.session}.1"
        assert [call[0] for call in gateway.media.calls if call[1] == engine_id] == ["subscribe", "unsubscribe", "subscribe"]


async def test_a_client_may_look_for_a_new_way(gateway):
    """For a stream that it publishes, or for what it receives; nobody else hears of it."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = await published(ann)
        await bob.expect("stream_added")
        await subscribed(bob, stream)
        assert await ann.request("restart_ice", stream=stream, sdp="v=0 offer") == {"sdp": "v=0 restarted"}
        assert await bob.request("restart_ice") == {}
        for fields in ({"stream": stream}, {"sdp": "v=0 offer"}):
            with pytest.raises(RefusedError) as refused:
                await ann.request("restart_ice", **fields)
            assert refused.value.code == "bad_request"
        with pytest.raises(RefusedError) as refused:
            await bob.request("restart_ice", stream=stream, sdp="v=0 offer")
        assert refused.value.code == "unknown_stream"
        with pytest.raises(RefusedError) as refused:
            await ann.request("restart_ice")
        assert refused.value.code == "invalid_state"
        asked = [call for call in gateway.media.calls if call[0].startswith("restart")]
        assert asked == [
            ("restart_publication", f"{ann.session}.1"),
            ("restart_subscription", f"{bob.session}.1"),
            ("restart_subscription", f"{ann.session}.1"),
        ]
        assert bob.messages.empty()


async def test_an_offer_of_before_is_not_passed_on(gateway):
    """It was on its way when its connection was given up."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = await published(ann)
        await bob.expect("stream_added")
        unsubscribe = gateway.media.unsubscribe

        async def late(session):
            await gateway.media.subscribe(session, frozenset())
            await unsubscribe(session)

        gateway.media.unsubscribe = late
        await subscribed(bob, stream)
        await bob.request("reconnect")
        assert (await subscribed(bob, stream))["number"] == 3


async def test_what_is_lost_while_the_client_is_away(gateway):
    """It finds that its media is gone, and begins anew with both connections."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = await published(bob)
        await published(ann)
        await ann.expect("stream_added")
        await subscribed(ann, stream)
        ann.cut()
        await ann.closed()
        lose(gateway, ann, "subscribe")
        async with gateway.resumed(ann) as again:
            assert (again.resumed["media"], again.resumed["published"]) == (False, None)
            await published(again)
            assert (await subscribed(again, stream))["number"] == 1
            assert ("publish", f"{ann.session}.2") in gateway.media.calls


async def test_a_stream_that_is_lost_while_the_client_is_away(gateway):
    """The others see it go at once; the client, that it publishes nothing."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        await published(ann)
        await bob.expect("stream_added")
        ann.cut()
        await ann.closed()
        lose(gateway, ann, "publish")
        await bob.expect("stream_removed")
        async with gateway.resumed(ann) as again:
            assert (again.resumed["media"], again.resumed["published"]) == (True, None)


async def test_news_of_nobody(gateway):
    """The engine may say something of a session that has just gone."""
    async with gateway.joined("ann") as ann:
        gateway.media.on_failed(TransportFailed("nobody.1", "publish", "late"))
        await published(ann)


async def test_media_that_is_away_for_the_moment(gateway):
    """The client hears that it may ask again."""
    async with gateway.joined("ann") as ann:

        async def publish(_session, _offer):
            raise MediaRefusedError("unavailable", "media begins anew at the moment")

        gateway.media.publish = publish
        with pytest.raises(RefusedError) as refused:
            await published(ann)
        assert (refused.value.code, refused.value.retry) == ("unavailable", True)


async def test_a_gateway_without_media_is_not_ready(gateway):
    """It goes on with the sessions that it has; others had better go elsewhere."""
    async with gateway.joined("ann") as ann, httpx.AsyncClient() as http:
        gateway.media.away = ["1 of 1 media workers are not there"]
        answer = await http.get(f"{gateway.url}/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, gateway.media.away)
        await published(ann)


async def test_a_gateway_has_its_workers(gateway_settings, registry):
    """It starts them, replaces them, is ready when they are there, and takes them with it."""
    service = build(gateway_settings.model_copy(update={"media_workers": 2}))
    async with running(service):
        first = media_workers(os.getpid())
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        async with asyncio.timeout(20):
            while first[0] in media_workers(os.getpid()):
                await asyncio.sleep(0.02)
        await until_ready(service)
        second = media_workers(os.getpid())
        assert (first[1] in second, len(second)) == (True, 2)
    assert media_workers(os.getpid()) == []

"""Endings of many at once: media of all stops before anybody is told, everybody is told once, and who is busy is not forgotten."""

import asyncio
import contextlib

import pytest

from services.edge_gateway.media.interface import Stopped
from shared.clients.receipts import Receipts
from shared.contracts.commands import Verb
from shared.contracts.facts import Dissolved
from shared.contracts.reasons import LeaveReason
from tests.edge_gateway.conftest import APP, ROOM, gateway_running


@pytest.fixture
async def heard(bus, registry):
    """The receipts that are stored, as they are stored."""
    async with Receipts(bus).gathering(APP, "cause") as gathering:
        yield gathering


@contextlib.asynccontextmanager
async def crowd(gateway, count):
    """So many clients that come in after another and have heard of each other: then their sessions wait for nothing."""
    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway.joined(f"u{number}")) for number in range(count)]
        for number, client in enumerate(clients, start=1):
            for _ in range(count - number):
                await client.expect("peer_joined")
        yield clients


async def was_told(client):
    """Whether the gateway has written an ending by now that the test has not taken."""
    await (await client.connection.ping())
    return ended_again(client)


def ended_again(client):
    return "ended" in [message["type"] for message in client.messages._queue if message]


class SlowStop:
    """A stop that takes until it is let through; ``asked`` has what was asked at once."""

    def __init__(self, media):
        self.asked = []
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self._stop = media.stop
        media.stop = self

    async def __call__(self, *sessions, notice=None):
        self.asked.append(set(sessions))
        self.began.set()
        await self.may_end.wait()
        await self._stop(*sessions, notice=notice)
        return Stopped(7.0)


@pytest.fixture
def stop(gateway):
    """The gateway's media stops slowly."""
    slow = SlowStop(gateway.media)
    yield slow
    slow.may_end.set()


@pytest.mark.parametrize("verb", [Verb.DISMISS, Verb.REMOVE])
async def test_nobody_is_told_before_the_media_of_all_has_stopped(gateway, registry, heard, stop, verb):
    """The engine is asked once, for all of them; then each is told once, and the time of the stop is in each one's receipt."""
    async with crowd(gateway, 5) as clients:
        if verb is Verb.DISMISS:
            await registry.dismiss()
        else:
            await registry.leave(*(client.session for client in clients), LeaveReason.REMOVED)
        await stop.began.wait()
        assert [await was_told(client) for client in clients] == [False] * 5
        assert stop.asked[0] == {f"{client.session}.1" for client in clients}
        stop.may_end.set()
        for client in clients:
            assert (await client.expect("ended"))["correlation"] == "cause"
            await client.acknowledge()
        for client in clients:
            assert await client.closed() == 1000
            assert not ended_again(client)
        await heard.until(lambda: heard.told() == 5, 5)
        assert {receipt.media_stopped_at for by in heard.sessions.values() for receipt in by.values()} == {7000}
    assert not [asked for asked in stop.asked[1:] if asked & stop.asked[0]]


async def test_who_stays_hears_who_was_removed(gateway, registry):
    """And nothing of it happens to him."""
    async with gateway.joined("bob") as bob, crowd(gateway, 3) as clients:
        await registry.leave(*(client.session for client in clients), LeaveReason.REMOVED)
        for client in clients:
            await client.expect("ended")
            assert (await bob.expect("peer_left"))["session"] == client.session
        await bob.leave()
        assert await bob.closed() == 1000
        assert not ended_again(bob)


async def test_who_is_busy_is_told_when_he_is_done(gateway, registry, heard):
    """The others do not wait for him; what he had asked for is answered before, and stopped, too."""
    publish, asked, may_end = gateway.media.publish, asyncio.Event(), asyncio.Event()

    async def slowly(session, offer):
        asked.set()
        await may_end.wait()
        return await publish(session, offer)

    gateway.media.publish = slowly
    async with crowd(gateway, 3) as (ann, *clients):
        publishing = asyncio.create_task(ann.request("publish", kind="main", sdp="v=0"))
        await asked.wait()
        await registry.dismiss()
        for client in clients:
            await client.expect("ended")
            await client.acknowledge()
        assert not await was_told(ann)
        assert ("stop", f"{ann.session}.1") not in gateway.media.calls
        may_end.set()
        await publishing
        await ann.expect("ended")
        assert [call[0] for call in gateway.media.calls if call[1] == f"{ann.session}.1"] == ["publish", "stop"]
        assert gateway.media.published == {}
        await ann.acknowledge()
        await heard.until(lambda: heard.told() == 3, 5)


async def test_who_is_leaving_hears_that_he_has_left(gateway, registry):
    """As he asked; he is not made to leave."""
    registry.silent.add(Verb.LEAVE)
    async with crowd(gateway, 3) as (ann, *clients):
        leaving = asyncio.create_task(ann.leave())
        await registry.next(Verb.LEAVE)
        await registry.dismiss()
        for client in clients:
            await client.expect("ended")
        await leaving
        assert await ann.closed() == 1000
        assert not ended_again(ann)


async def test_who_is_cut_off_is_reported_and_not_told(gateway_settings, registry, heard):
    """Nobody is there."""
    async with (
        gateway_running(gateway_settings.model_copy(update={"reconnect_grace": 60})) as gateway,
        crowd(gateway, 3) as (ann, *clients),
    ):
        ann.connection.transport.abort()
        await ann.closed()
        await registry.dismiss()
        for client in clients:
            await client.expect("ended")
            await client.acknowledge()
        await heard.until(lambda: len(heard.sessions) == 3 and heard.told() == 2, 5)
        assert [receipt.told_at for receipt in heard.sessions[ann.session].values()] == [None]
        assert ("stop", f"{ann.session}.1") in gateway.media.calls


async def test_who_lives_elsewhere_is_told_there(gateway_settings, registry, heard):
    """The gateway that has not let go of him yet reports its stop, and says nothing."""
    registry.silent.add(Verb.DETACH)
    settings = gateway_settings.model_copy(update={"reconnect_grace": 60})
    async with (
        gateway_running(settings) as gateway,
        gateway_running(settings.model_copy(update={"gateway_name": "other"})) as other,
        crowd(gateway, 3) as (ann, *clients),
        other.resumed(ann) as again,
    ):
        await ann.closed()
        await registry.dismiss()
        for client in [*clients, again]:
            await client.expect("ended")
            await client.acknowledge()
        await heard.until(lambda: heard.told() == 3 and len(heard.sessions[ann.session]) == 2, 5)
        assert not ended_again(ann)


async def test_an_ending_that_is_no_news_ends_nobody(gateway, registry):
    """It is of an earlier life of the room, or the roster had it already."""
    async with crowd(gateway, 2) as clients:
        await registry.commit(ROOM, Dissolved(incarnation="1.0", seq=99))
        await registry.commit(ROOM, Dissolved(incarnation="1.1", seq=2))
        for client in clients:
            await client.leave()
            assert await client.closed() == 1000
            assert not ended_again(client)


async def test_a_stop_for_all_that_fails_is_made_up_for(gateway, registry):
    """Each session tries again for itself, and comes out at the one exit."""
    stop = gateway.media.stop
    failed = []

    async def fails_once(*sessions, notice=None):
        if not failed:
            failed.append(sessions)
            raise RuntimeError("a bug")
        return await stop(*sessions, notice=notice)

    gateway.media.stop = fails_once
    async with crowd(gateway, 3) as clients:
        await registry.dismiss()
        for client in clients:
            await client.closed()
            assert ("stop", f"{client.session}.1") in gateway.media.calls
    assert len(failed[0]) == 3

"""Hearing: what is committed arrives once and in order, though its carrier may lose some."""

import asyncio

import httpx
import pytest
from nats.js import api

from shared.bus.follower import Follower, StreamRestoredError
from shared.bus.stream import EventStream
from shared.contracts.reasons import LeaveReason
from shared.contracts.subjects import REPUBLISH_DESTINATION, REPUBLISH_SOURCE, STREAM
from tests.edge_gateway.conftest import gateway_running


async def republish(bus, *, on):
    """Let the server republish what is committed, or lose all of it."""
    info = await bus.jetstream().stream_info(STREAM)
    config = info.config
    config.republish = api.RePublish(src=REPUBLISH_SOURCE, dest=REPUBLISH_DESTINATION) if on else None
    await bus.jetstream().update_stream(config)


async def test_the_last_event_is_not_missed_when_its_notice_is_lost(gateway, registry, bus):
    """Nothing comes after it that would show a gap; the round finds it."""
    async with gateway.joined("ann") as ann:
        await republish(bus, on=False)
        await registry.leave(ann.session, LeaveReason.REMOVED)
        assert (await ann.expect("ended"))["reason"] == "removed"


async def test_a_gap_is_healed_before_anything_later_is_applied(gateway, registry, bus):
    """In the order of the stream, and nothing twice."""
    async with gateway.joined("ann") as ann:
        await republish(bus, on=False)
        for number in range(5):
            await registry.join({"session": f"{number:032x}", "user": f"u{number}", "role": "anchor", "gateway": "other_" + "0" * 16})
        await republish(bus, on=True)
        await registry.leave(f"{0:032x}", LeaveReason.LEFT)
        heard = [await ann.messages.get() for _ in range(6)]
        assert [message["user"] for message in heard] == ["u0", "u1", "u2", "u3", "u4", "u0"]
        assert [message["type"] for message in heard] == ["peer_joined"] * 5 + ["peer_left"]


async def test_an_overflow_is_a_gap_like_any_other(bus, monkeypatch):
    """What did not fit into the queue is read from the stream."""
    monkeypatch.setattr("shared.bus.follower.MAX_QUEUED", 4)
    stream = EventStream(bus)
    await stream.ensure(1)
    applied = []
    done = asyncio.Event()

    def apply(stored):
        applied.append(stored.seq)
        if stored.seq == 100:
            done.set()

    follower = Follower(bus, stream, apply)
    await follower.start()
    for _ in range(100):
        await bus.jetstream().publish("stagedoor.v1.evt.0._._.epoch", b"{}")
    running = asyncio.create_task(follower.run())
    await asyncio.wait_for(done.wait(), 5)
    running.cancel()
    assert applied == list(range(1, 101))


async def test_a_stream_that_was_restored_from_an_older_state_is_noticed(bus):
    """Nothing that was applied can be trusted; the process starts anew."""
    stream = EventStream(bus)
    await stream.ensure(1)
    for _ in range(3):
        await bus.jetstream().publish("stagedoor.v1.evt.0._._.epoch", b"{}")
    follower = Follower(bus, stream, lambda _stored: None)
    await follower.start()
    await bus.jetstream().delete_stream(STREAM)
    await stream.ensure(1)
    with pytest.raises(StreamRestoredError):
        await asyncio.wait_for(follower.run(), 5)


async def test_sessions_outlive_an_absence_of_nats(gateway, registry, nats_server):
    """Nobody is ended, and what is committed afterwards is heard."""
    async with gateway.joined("ann") as ann, httpx.AsyncClient() as http:
        await nats_server.stop()
        async with asyncio.timeout(10):
            while (await http.get(gateway.url + "/readyz")).status_code == 200:
                await asyncio.sleep(0.05)
        assert (await http.get(gateway.url + "/livez")).status_code == 200
        await nats_server.start()
        async with asyncio.timeout(15):
            while not registry.connection.is_connected:
                await asyncio.sleep(0.05)
        await registry.leave(ann.session, LeaveReason.REMOVED)
        assert (await ann.expect("ended"))["reason"] == "removed"


async def test_a_gateway_serves_nobody_before_the_registry_knows_it(gateway_settings, bus):
    """Without a stream, and without an answer to its announcement, it is alive and not ready."""
    async with gateway_running(gateway_settings, ready=False) as gateway, httpx.AsyncClient() as http:
        await gateway.service.listening()
        answer = await http.get("http://{}:{}/readyz".format(*gateway.service.address))
        assert (answer.status_code, answer.json()["ready"]) == (503, False)

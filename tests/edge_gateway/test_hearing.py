"""Hearing: what is committed arrives once and in order, though its carrier may lose some."""

import asyncio
import time

import httpx
import pytest
from nats.js import api
from stagedoor_client import RefusedError, SignallingClient

from services.edge_gateway import hearing
from shared.auth import resume_token
from shared.bus.follower import Follower, StreamRestoredError
from shared.bus.stream import EventStream
from shared.clients.leases import GatewayLeases
from shared.contracts.commands import Verb
from shared.contracts.facts import GatewayLost
from shared.contracts.reasons import LeaveReason
from shared.contracts.subjects import GATEWAY_STREAM, REPUBLISH_DESTINATION, REPUBLISH_SOURCE, STREAM
from shared.service import ServiceFailedError
from tests.edge_gateway.conftest import APP, ROOM, SECRET, gateway_running, usersig


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


async def test_a_gateway_serves_nobody_before_it_has_heard_the_bus(gateway_settings, bus):
    """Without a stream it is alive and not ready."""
    async with gateway_running(gateway_settings, ready=False) as gateway:
        await gateway.service.listening()
        assert (await readiness("http://{}:{}".format(*gateway.service.address)))[0] == 503


async def readiness(url):
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{url}/readyz")
        return answer.status_code, answer.json()["missing"]


async def test_media_is_allowed_by_finished_rounds_only(gateway_settings, registry, bus):
    """Each dated at its start. A round that could not renew the lease is not finished."""
    async with (
        gateway_running(gateway_settings.model_copy(update={"isolation_grace": 7})) as gateway,
        gateway.joined("ann", role="audience", mode="live") as ann,
    ):
        deadlines = gateway.media.deadlines
        assert 0 < time.monotonic() + 7 - deadlines[0] < 5
        await republish(bus, on=False)

        async def a_round(number):
            # What is committed now is heard in no other way.
            await registry.join({"session": f"{number:032x}", "user": f"u{number}", "role": "anchor", "gateway": "other_" + "0" * 16})
            assert (await ann.expect("peer_joined"))["user"] == f"u{number}"

        await a_round(1)
        await bus.jetstream().delete_stream(GATEWAY_STREAM)
        # The round that was heard may have had its lease before.
        await a_round(2)
        before = len(deadlines)
        await a_round(3)
        await a_round(4)
        assert len(deadlines) == before
        await GatewayLeases(bus).ensure(1)
        await a_round(5)
        await a_round(6)
        assert deadlines[-1] > deadlines[before - 1]


async def test_media_that_is_never_isolated_is_allowed_for_ever(gateway_settings, registry, bus):
    """The lease says so, too."""
    async with gateway_running(gateway_settings.model_copy(update={"isolation_grace": "never"})) as gateway, gateway.joined("ann"):
        name = (await registry.next(Verb.JOIN))["gateway"]
        assert gateway.media.deadlines[0] is None
        assert (await GatewayLeases(bus).read(name))[1].isolation_grace is None


def watch_the_grace(monkeypatch):
    """A queue of what is left of the grace, each time that a session asks."""
    asked, grace_left = asyncio.Queue(), hearing.Hearing.grace_left

    def ask(self, lost_at):
        left = grace_left(self, lost_at)
        asked.put_nowait(left)
        return left

    monkeypatch.setattr(hearing.Hearing, "grace_left", ask)
    return asked


async def test_a_deaf_gateway_extends_nothing_and_ends_nobody(gateway, registry, nats_server, monkeypatch):
    """Until it hears again."""
    monkeypatch.setattr(hearing, "DEAF_SECONDS", 2.0)
    async with gateway.joined("ann") as ann:
        await nats_server.stop()
        async with asyncio.timeout(10):
            while not gateway.service._missing():
                await asyncio.sleep(0.05)
        before = gateway.media.deadlines[-1]
        asked = watch_the_grace(monkeypatch)
        ann.cut()
        # When it is lost, and when it would be over: it counts from the bus's being heard again.
        for _ in range(3):
            await asyncio.wait_for(asked.get(), 5)
        assert gateway.media.deadlines[-1] == before
        assert "stop" not in [call[0] for call in gateway.media.calls]
        await nats_server.start()
        async with asyncio.timeout(15):
            while (await readiness(gateway.url))[0] != 200 or not registry.connection.is_connected:
                await asyncio.sleep(0.05)
        assert gateway.media.deadlines[-1] > before
        assert (await registry.next(Verb.LEAVE))["session"] == ann.session


async def test_a_gateway_whose_rounds_do_not_finish_takes_nobody(gateway, bus, monkeypatch):
    """Though it is connected: others may believe that it is lost."""
    monkeypatch.setattr(hearing, "DEAF_SECONDS", 1.5)
    await bus.jetstream().delete_stream(GATEWAY_STREAM)
    async with asyncio.timeout(10):
        while (answer := await readiness(gateway.url))[0] == 200:
            await asyncio.sleep(0.05)
    assert answer[1][0].startswith("the event stream was last heard")
    for refused in await refusals(gateway, "a" * 32, resume_token.make(SECRET, ROOM, "a" * 32, bytes(16))):
        assert (refused.code, refused.retry) == ("unavailable", True)
        assert "takes no sessions" in str(refused)


async def refusals(gateway, session, token):
    """Try to join, and to resume; both errors."""
    async with SignallingClient.open(gateway.url) as eve, SignallingClient.open(gateway.url) as again:
        with pytest.raises(RefusedError) as joining:
            await eve.join(app=APP, user="eve", sig=usersig("eve"), room=1)
        with pytest.raises(RefusedError) as resuming:
            await again.resume(app=APP, room=1, session=session, token=token)
    return joining.value, resuming.value


async def test_a_gateway_that_was_declared_lost_ends(gateway_settings, registry):
    """Its sessions have ended; another boot is somebody else."""
    with pytest.raises(ServiceFailedError, match="declared lost"):
        async with gateway_running(gateway_settings) as gateway, gateway.joined("ann"):
            name = (await registry.next(Verb.JOIN))["gateway"]
            await registry.commit(None, GatewayLost(gateway="other_" + "f" * 16), partition=0)
            await registry.commit(None, GatewayLost(gateway=name), partition=0)
            await asyncio.wait_for(gateway.service._stop.wait(), 10)

"""The gateway's own end: browsers are asked to go on elsewhere, nobody's session is ended, and the lease says that it is gone."""

import asyncio

import httpx
import pytest
from stagedoor_client import RefusedError, SignallingClient

from shared.clients.leases import GatewayLeases
from shared.clients.receipts import Receipts
from shared.contracts.commands import Verb
from shared.contracts.reasons import LeaveReason
from tests.edge_gateway.conftest import APP, gateway_running, usersig


@pytest.fixture
async def other(gateway_settings, registry):
    """A gateway to go to."""
    async with gateway_running(gateway_settings.model_copy(update={"gateway_name": "other"})) as running:
        yield running


def leaves(registry):
    return [command for command in registry.commands._queue if command["verb"] == Verb.LEAVE]


async def test_browsers_are_asked_to_move_and_the_gateway_ends_when_they_have(gateway_settings, registry, other, bus, monkeypatch):
    """A second socket first, then the first one goes; nobody has left anything."""
    monkeypatch.setattr("random.uniform", lambda least, _most: least)
    settings = gateway_settings.model_copy(update={"drain_seconds": 60, "reconnect_grace": 60})
    async with gateway_running(settings) as gateway, gateway.joined("ann") as ann:
        name = (await registry.next(Verb.JOIN))["gateway"]
        gateway.service.stop()
        moved = asyncio.create_task(ann.expect("move"))
        async with other.joined("bob") as bob:
            await asyncio.wait_for(moved, 10)
            async with other.resumed(ann) as again:
                assert await ann.closed() == 4410
                await asyncio.wait_for(gateway.service._http_ended.wait(), 10)
                assert again.resumed["peers"] == [{"session": bob.session, "user": "bob"}]
                assert leaves(registry) == []
                await until_gone(bus, name)
    assert gateway.media.closed


async def until_gone(bus, name):
    async with asyncio.timeout(10):
        while not (await GatewayLeases(bus).read(name))[1].gone:
            await asyncio.sleep(0.05)


async def test_a_gateway_that_is_about_to_end_takes_nobody(gateway_settings, registry):
    """It says so where it is asked, and refuses for the moment."""
    settings = gateway_settings.model_copy(update={"drain_seconds": 60})
    async with gateway_running(settings) as gateway, gateway.joined("ann") as ann, httpx.AsyncClient() as http:
        gateway.service.stop()
        async with asyncio.timeout(5):
            while (answer := await http.get(f"{gateway.url}/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
        assert answer.json()["missing"] == ["the gateway is about to end"]
        async with SignallingClient.open(gateway.url) as eve:
            with pytest.raises(RefusedError) as refused:
                await eve.join(app=APP, user="eve", sig=usersig("eve"), room=1)
            assert (refused.value.code, refused.value.retry) == ("unavailable", True)
        # Nobody is left to wait for.
        await ann.leave()


async def test_who_does_not_move_is_let_go_of_and_stays_for_a_resume(gateway_settings, registry, other, bus):
    """1012; media stops before the lease says gone, and no leave is sent."""
    async with gateway_running(gateway_settings) as gateway, gateway.joined("ann") as ann:
        name = (await registry.next(Verb.JOIN))["gateway"]
        gateway.service.stop()
        assert await ann.closed() == 1012
        await until_gone(bus, name)
        assert ("stop", f"{ann.session}.1") in gateway.media.calls
        assert gateway.media.closed
        assert leaves(registry) == []
        async with other.resumed(ann) as again:
            assert (again.resumed["attachment"], again.resumed["media"]) == (2, False)


async def test_receipts_are_written_before_the_end(gateway_settings, registry, bus):
    """Of whoever was removed in the last moment."""
    async with Receipts(bus).gathering(APP, "cause") as heard:
        async with gateway_running(gateway_settings) as gateway, gateway.joined("ann") as ann:
            await registry.leave(ann.session, LeaveReason.REMOVED)
            await ann.expect("ended")
            gateway.service.stop()
        assert heard.stopped() == 1

"""TURN servers: told at the door, renewed on request, and to nobody who has ended."""

import time

import pytest
from stagedoor_client import ClosedError, RefusedError, SignallingClient

from shared.auth import turn
from shared.contracts.reasons import LeaveReason
from tests.edge_gateway.conftest import APP, ROOM, gateway_running

URLS = "turn:turn.example:3478?transport=udp, turns:turn.example:443?transport=tcp"
SECRET = "shared-with-the-turn-server"


@pytest.fixture
async def gateway(gateway_settings, registry):
    """Give a gateway that has TURN servers."""
    settings = gateway_settings.model_copy(update={"turn_urls": URLS, "turn_secret": type(gateway_settings.secret_key)(SECRET)})
    async with gateway_running(settings) as running:
        yield running


def is_good(told, session) -> bool:
    """Say whether a client was told of both servers, with a credential for the next five minutes."""
    (server,) = told["ice_servers"]
    expires = int(server["username"].partition(":")[0])
    assert server["urls"] == URLS.split(", ")
    assert server["credential"] == turn.make(SECRET, session, expires).password
    assert server["username"] == f"{expires}:{session}"
    assert told["ice_seconds"] == 300
    return time.time() < expires <= time.time() + 300


async def test_who_joins_resumes_or_asks_is_told(gateway):
    """Each time with a credential that is as good as new."""
    async with gateway.joined("ann") as ann:
        assert is_good(ann.joined, ann.session)
        assert is_good({"ice_servers": await ann.renew_ice_servers(), "ice_seconds": ann.ice_seconds}, ann.session)
        ann.cut()
        async with gateway.resumed(ann) as again:
            assert is_good(again.resumed, ann.session)


async def test_who_was_removed_gets_no_more_of_them(gateway, registry):
    """What he has is good for minutes still; where it leads is for the TURN server to bound."""
    async with gateway.joined("ann") as ann:
        await registry.leave(ann.session, LeaveReason.REMOVED)
        await ann.expect("ended")
        await ann.send({"type": "ice_servers", "id": 99})
        await ann.acknowledge()
        with pytest.raises(ClosedError):
            await ann.renew_ice_servers()
        assert ann.messages.get_nowait() is None
        async with SignallingClient.open(gateway.url) as again:
            with pytest.raises(RefusedError, match="session_ended"):
                await again.resume(app=APP, room=ROOM.room, session=ann.session, token=ann.token)
            assert again.ice_servers == []


async def test_without_servers_nothing_is_said(gateway_settings, registry):
    """Clients of a gateway that has none are told as much as ever."""
    async with gateway_running(gateway_settings) as running, running.joined("ann") as ann:
        assert "ice_servers" not in ann.joined
        assert await ann.renew_ice_servers() == []

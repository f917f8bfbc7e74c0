import httpx
import pytest

from services.admin_api.app import build
from shared.bus.stream import EventStream
from tests.admin_api.support import Caller, PlayedRegistry, settings
from tests.support.running import running


@pytest.fixture
async def registry(bus):
    """A registry that the test plays; the stream is there."""
    await EventStream(bus).ensure(8)
    played = PlayedRegistry(bus)
    await played.start()
    return played


@pytest.fixture
async def address(nats_server, registry):
    """Where the service serves, ready."""
    async with running(build(settings(nats_server.url, admin_command_seconds=0.5))) as url:
        yield url


@pytest.fixture
async def client(address):
    async with httpx.AsyncClient(base_url=address) as client:
        yield client


@pytest.fixture
def caller(client):
    return Caller(client)

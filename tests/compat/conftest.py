import pytest

from services.admin_api.app import build
from shared.bus.stream import EventStream
from tests.admin_api.support import PlayedRegistry, settings
from tests.support.running import running


@pytest.fixture
async def registry(bus):
    """A registry that the test plays; the stream is there."""
    await EventStream(bus).ensure(8)
    played = PlayedRegistry(bus)
    await played.start()
    return played


@pytest.fixture
async def endpoint(nats_server, registry):
    """The address of the server API, as the vendor's clients want it."""
    async with running(build(settings(nats_server.url))) as url:
        yield url.removeprefix("http://")

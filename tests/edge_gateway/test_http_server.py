"""What every HTTP server of ours bounds: how long a request may take to come, how many connections there are, how long an end takes."""

import asyncio
import contextlib

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.exceptions import InvalidStatus

from services.edge_gateway.demo import signer
from shared import http_server
from shared.bus.connection import make_broker
from shared.contracts.errors import ConfigurationError
from shared.metrics import Metrics
from shared.service import Service
from shared.settings import Settings
from shared.tracing import NoTracer
from tests.edge_gateway.conftest import gateway_running
from tests.support.running import running

WHOLE = b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n"


@contextlib.asynccontextmanager
async def connected(gateway, first=b""):
    reader, writer = await asyncio.open_connection(*gateway.service.address)
    writer.write(first)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def rest_of(reader):
    """Everything until the other side ends the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            while chunk := await reader.read(65536):
                received += chunk
    return received


@pytest.mark.parametrize(
    "sent", [b"", b"GET /livez HTTP/1.1\r\nHost: h", WHOLE + b"GET /", WHOLE.replace(b"\r\n\r\n", b"\r\nContent-Length: 999\r\n\r\n")]
)
async def test_a_request_has_a_time_to_come_in(gateway_settings, registry, monkeypatch, sent):
    """From the first byte of its head, or from the beginning where there is none; dribbling does not help."""
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.3)
    async with gateway_running(gateway_settings) as gateway, connected(gateway, sent) as (reader, writer):

        async def dribble():
            while True:
                await asyncio.sleep(0.1)
                writer.write(b"x" if sent else b"")

        dribbling = asyncio.create_task(dribble())
        answered = await rest_of(reader)
        dribbling.cancel()
        assert answered.count(b" 200 OK") == sent.count(b"\r\n\r\n")


async def test_a_socket_and_a_complete_request_have_all_the_time(gateway_settings, registry, monkeypatch):
    """What was awaited has come."""
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.2)
    async with gateway_running(gateway_settings) as gateway, gateway.joined() as ann, httpx.AsyncClient(base_url=gateway.url) as client:
        await client.get("/livez")
        async with connected(gateway) as (reader, _):
            await rest_of(reader)
        assert (await client.get("/livez")).status_code == 200
        await ann.leave()


@pytest.fixture
async def narrow(gateway_settings, registry, monkeypatch):
    """A gateway that takes three connections."""
    monkeypatch.setattr(http_server, "SPARE_CONNECTIONS", 2)
    async with gateway_running(gateway_settings.model_copy(update={"max_connections": 3})) as gateway:
        yield gateway


async def test_one_connection_too_many_is_told_so(narrow):
    """By HTTP 503, whatever it asks for; but a server that is full is alive. With room again it serves."""
    async with httpx.AsyncClient(base_url=narrow.url, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        async with connected(narrow), connected(narrow), narrow.joined():
            refused = await client.get("/readyz")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert "too many connections" in refused.text
            assert (await client.get("/livez")).status_code == 200
            with pytest.raises(InvalidStatus, match="503"):
                async with narrow.joined():
                    pass
        async with asyncio.timeout(5):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)


async def test_many_connections_too_many_are_cut(narrow):
    """Who is to hear it is counted, too."""
    async with contextlib.AsyncExitStack() as stack:
        ends = [await stack.enter_async_context(connected(narrow)) for _ in range(6)]
        assert await rest_of(ends[-1][0]) == b""
        ends[4][1].write(WHOLE.replace(b"livez", b"readyz"))
        assert b" 503 " in await rest_of(ends[4][0])


def test_a_bound_that_cannot_be_is_refused(monkeypatch):
    """Before anything starts, as with every setting."""
    monkeypatch.setenv("STAGEDOOR_MAX_CONNECTIONS", "0")
    with pytest.raises(ConfigurationError, match="STAGEDOOR_MAX_CONNECTIONS"):
        Settings.load()


async def test_a_graceful_end_takes_no_longer_than_it_may(nats_server):
    """Though a request does not end, and the service takes the half that it may have."""
    settings = Settings(nats_url=nats_server.url, port=0, stop_seconds=2)
    asked = asyncio.Event()

    async def endless(_request):
        asked.set()
        await asyncio.Event().wait()
        return PlainTextResponse("never")

    async def nothing():
        pass

    async def stop():
        await asyncio.sleep(settings.stop_seconds / 2)

    broker = make_broker(settings, "test")
    service = Service(
        "test", settings, broker, Metrics("test"), NoTracer(), start=nothing, stop=stop, missing=list, routes=[Route("/endless", endless)]
    )
    async with contextlib.AsyncExitStack() as stack:
        async with running(service) as url:
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=url))
            asking = asyncio.create_task(client.get("/endless", timeout=30))
            await asked.wait()
            began = asyncio.get_running_loop().time()
        # Uvicorn looks around every 0.1 s.
        assert asyncio.get_running_loop().time() - began < 2.6
        await asyncio.wait({asking})
        assert not asking.cancelled()
        asking.exception()


async def test_the_body_of_a_wish_has_a_time_to_come_in(gateway_settings, registry, monkeypatch):
    """The demo page's signer waits for nobody."""
    monkeypatch.setattr(signer, "BODY_SECONDS", 0.1)
    async with gateway_running(gateway_settings.model_copy(update={"demo": True})) as gateway:
        host = gateway.url.removeprefix("http://")
        head = f"POST /dev/usersig HTTP/1.1\r\nHost: {host}\r\nOrigin: {gateway.url}\r\nContent-Type: application/json\r\n"
        async with connected(gateway, f"{head}Content-Length: 20\r\n\r\n{{".encode()) as (reader, _):
            assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)

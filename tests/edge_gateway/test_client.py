"""The asyncio client, before gateways that do not behave."""

import asyncio
import contextlib

import pytest
from stagedoor_client import ClosedError, SignallingClient, signalling
from websockets.asyncio.server import serve


@contextlib.asynccontextmanager
async def talking(*lines):
    """A client, and a gateway that answers its first message with these lines."""

    async def answer(connection):
        async for _ in connection:
            for line in lines:
                await connection.send(line)

    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with SignallingClient.open(f"http://127.0.0.1:{port}") as client:
            yield client


@pytest.mark.parametrize("line", ["{", "[]", "null", "{}", '{"type": "reply"}', '{"type": "reply", "id": 1}', b"\xff"])
async def test_what_is_no_message_ends_the_session_and_leaves_nobody_waiting(line):
    """The gateway is told so."""
    async with talking(line) as client, asyncio.timeout(5):
        with pytest.raises(ClosedError):
            await client.request("leave")
        assert await client.closed() == 1002
        assert await client.messages.get() is None


async def test_a_reply_that_nobody_waits_for_is_ignored():
    """To a request that was given up, or that never was."""
    async with talking('{"type": "reply", "id": 7, "result": {}}', '{"type": "reply", "id": 1, "result": {}}') as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.request("leave"), 0)
        async with asyncio.timeout(5):
            await client.send({"type": "any"})
            client._last_id = 0
            await client.request("leave")


async def test_a_request_that_cannot_be_sent_is_not_kept():
    """It has no reply to wait for."""
    async with talking() as client:
        await client.connection.close()
        with pytest.raises(ClosedError):
            await client.request("leave")
        assert client._replies == {}


@pytest.mark.parametrize(
    ("gateway", "address"),
    [
        ("http://edge:8080", "ws://edge:8080/v1/signal"),
        ("https://edge/", "wss://edge/v1/signal"),
        ("ws://http-host", "ws://http-host/v1/signal"),
        ("wss://edge", "wss://edge/v1/signal"),
    ],
)
async def test_the_address_differs_in_its_scheme_only(monkeypatch, gateway, address):
    """Whatever the host is called."""

    class ConnectedTo(Exception):  # noqa: N818 -- no error: it says where
        pass

    def connect(url):
        raise ConnectedTo(url)

    monkeypatch.setattr(signalling, "connect", connect)
    with pytest.raises(ConnectedTo, match=f"^{address}$"):
        async with SignallingClient.open(gateway):
            pass

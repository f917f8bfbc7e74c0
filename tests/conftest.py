"""Fixtures of more than one suite."""

import contextlib

import nats
import pytest

from cli.nats_server import LocalNats


@pytest.fixture
async def nats_server(tmp_path):
    """A real nats-server of the test's own, with an empty store."""
    server = LocalNats(tmp_path / "nats")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def bus(nats_server):
    """A plain client on the test's nats-server: the rest of the world."""
    async with contextlib.AsyncExitStack() as stack:
        connection = await nats.connect(nats_server.url)
        stack.push_async_callback(connection.close)
        yield connection

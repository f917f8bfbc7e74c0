"""The connection under everything: it outlives what ends others."""

import asyncio
import os
import signal

from shared.bus.connection import connection_of, drop, make_broker
from shared.settings import BusSettings


class Heard:
    """Messages on a subject, and a way to wait for the next."""

    def __init__(self):
        self.queue = asyncio.Queue()

    async def take(self, message):
        if message.data == b"poison":
            raise RuntimeError("a handler that breaks")
        self.queue.put_nowait(message.data)

    async def next(self):
        async with asyncio.timeout(30):
            return await self.queue.get()


async def test_a_handler_that_breaks_deafens_nobody(nats_server, bus):
    """nats-py's read loop ends without a word when its error callback raises; ours does not."""
    broker = make_broker(BusSettings(nats_url=nats_server.url), "tests")
    await broker.connect()
    try:
        heard = Heard()
        connection = connection_of(broker)
        await connection.subscribe("traps", cb=heard.take)
        await connection.flush()
        for data in (b"before", b"poison", b"after"):
            await bus.publish("traps", data)
        assert [await heard.next(), await heard.next()] == [b"before", b"after"]
        assert connection.is_connected
    finally:
        await broker.stop()


async def test_a_frozen_server_is_noticed_and_the_connection_comes_back(nats_server):
    """Not after the client's own four minutes: it says that it is not connected, and is again when the server wakes up."""
    broker = make_broker(BusSettings(nats_url=nats_server.url), "tests")
    await broker.connect()
    try:
        connection = connection_of(broker)
        heard = Heard()
        await connection.subscribe("traps", cb=heard.take)
        await connection.flush()
        os.kill(nats_server.process.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(60):
                while connection.is_connected:
                    await asyncio.sleep(0.1)
        finally:
            os.kill(nats_server.process.pid, signal.SIGCONT)
        async with asyncio.timeout(30):
            while not connection.is_connected:
                await asyncio.sleep(0.1)
        await connection.publish("traps", b"again")
        assert await heard.next() == b"again"
    finally:
        await broker.stop()


async def test_a_lost_connection_that_has_something_to_write_can_be_dropped(nats_server):
    """As at the end of a service whose bus is away."""
    broker = make_broker(BusSettings(nats_url=nats_server.url), "tests")
    await broker.connect()
    connection = connection_of(broker)
    await nats_server.stop(signal.SIGKILL)
    async with asyncio.timeout(30):
        while connection.is_connected:
            await asyncio.sleep(0.01)
    await connection.publish("traps", b"nobody will hear this")
    await drop(connection)
    assert connection.is_closed

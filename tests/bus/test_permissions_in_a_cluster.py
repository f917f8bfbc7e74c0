"""The accounts on three servers as one: a part is served wherever it comes in, and the streams' leaders are somewhere else."""

import asyncio
import contextlib
import shutil

import pytest

from services.room_registry.app import build
from services.room_registry.settings import RegistrySettings
from shared.bus.connection import connection_of, make_broker
from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient, deadline
from shared.clients.receipts import Receipts
from shared.contracts.commands import Join, Remove, Role
from shared.contracts.receipts import Receipt, SessionReceipt
from shared.contracts.subjects import Part
from tests.support.cluster import NODES, membership
from tests.support.ports import free_port
from tests.support.running import running
from tests.support.secured_nats import SecuredNats

APP, SESSION, GATEWAY = 1400000001, "a" * 32, "edge_" + "0" * 16
PARTITIONS = 2


@pytest.fixture
async def nodes(tmp_path):
    routes = [free_port() for _ in range(NODES)]
    SecuredNats(tmp_path / "keys")
    servers = []
    for number in range(1, NODES + 1):
        shutil.copytree(tmp_path / "keys", tmp_path / f"n{number}")
        servers.append(SecuredNats(tmp_path / f"n{number}", free_port(), membership(number, routes)))
    await asyncio.gather(*(server.start() for server in servers))
    yield servers
    await asyncio.gather(*(server.stop() for server in servers))


@contextlib.asynccontextmanager
async def part_at(server, part):
    broker = make_broker(server.settings(part), part)
    await broker.connect()
    try:
        yield connection_of(broker)
    finally:
        await broker.stop()


async def test_every_part_works_at_every_node(nodes):
    """Commands, answers, what is committed, and receipts pass from account to account and from node to node."""
    told = nodes[0].settings(Part.REGISTRY).model_dump() | {"nats_url": ",".join(server.tls_url for server in nodes)}
    common = {"app": APP, "room": 1}
    async with running(build(RegistrySettings(**told, port=0, partitions=PARTITIONS, stream_replicas=NODES))):
        for number, server in enumerate(nodes):
            async with part_at(server, Part.GATEWAY) as gateway, part_at(nodes[number - 1], Part.OPERATOR) as operator:
                join = Join(id=f"j{number}", session=SESSION[1:] + str(number), user="ann", role=Role.ANCHOR, gateway=GATEWAY, **common)
                await CommandClient(gateway, PARTITIONS).send(join.model_copy(update={"expires_at": deadline(20)}))
                remove = Remove(id=f"r{number}", users=("ann",), expires_at=deadline(20), **common)
                async with Receipts(operator).gathering(APP, remove.id) as gathering:
                    reply = await CommandClient(operator).send(remove)
                    assert [removed.session for removed in reply.removed] == [join.session]
                    ended = SessionReceipt(session=join.session, user="ann", media_stopped_at=1)
                    await Receipts(gateway).write(Receipt(app=APP, command=remove.id, gateway=GATEWAY, sessions=(ended,)))
                    await gathering.until(lambda: gathering.stopped() == 1, 20)
                    assert gathering.stopped() == 1
                for connection in (gateway, operator):
                    stream = EventStream(connection)
                    assert [stored.seq async for stored in stream.read(0, await stream.last_seq())][-1] == await stream.last_seq()

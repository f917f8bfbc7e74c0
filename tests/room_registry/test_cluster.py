"""A registry on three nats-servers: the loss of any one of them loses no acknowledged command, and it all goes on by itself."""

import nats
import pytest

from services.room_registry.app import build
from services.room_registry.settings import RegistrySettings
from shared.contracts.subjects import STREAM
from tests.room_registry.conftest import Caller
from tests.room_registry.test_replicas import Load, check
from tests.support.cluster import NatsCluster
from tests.support.running import running

PARTITIONS = 24


@pytest.fixture
async def cluster(tmp_path):
    cluster = NatsCluster(tmp_path / "cluster")
    await cluster.start()
    yield cluster
    await cluster.stop()


async def test_any_one_node_may_be_lost(cluster):
    """Each in turn, the leader of the stream first; each comes back."""
    settings = RegistrySettings(nats_url=cluster.url, port=0, partitions=PARTITIONS, stream_replicas=3, stop_seconds=5)
    bus = await nats.connect(cluster.url.split(","), max_reconnect_attempts=-1, reconnect_time_wait=0.2)
    try:
        async with running(build(settings)):
            load = Load(Caller(bus, seconds=40.0), rooms=4)
            await load.until(20)
            leader = await cluster.until_leader(STREAM)
            for node in sorted(cluster.nodes, key=lambda node: node is not leader):
                await cluster.kill(node)
                await load.until(20)
                await node.start()
                await cluster.until_leader(STREAM)
            await load.stop()
            await check(bus, load)
    finally:
        await bus.close()

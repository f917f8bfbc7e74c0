"""The cluster that other tests stand on."""

import asyncio

import nats
import pytest
from nats.js import api
from nats.js.errors import NoStreamResponseError, ServiceUnavailableError

from tests.support.cluster import NatsCluster

STREAM = "HELD"


@pytest.fixture
async def cluster(tmp_path):
    cluster = NatsCluster(tmp_path, token="bus-token")
    await cluster.start()
    yield cluster
    await cluster.stop()


async def publish_again(js, data):
    """Publish until it is answered: who has been elected is not at once there for everybody."""
    async with asyncio.timeout(30):
        while True:
            try:
                ack = await js.publish("held", data)
            except (NoStreamResponseError, ServiceUnavailableError):
                await asyncio.sleep(0.1)
            else:
                assert ack.seq == 2
                return


async def test_what_was_acknowledged_outlives_the_loss_of_the_leader(cluster):
    """Another node leads, has it, and takes more; the lost one comes back."""
    connection = await nats.connect(cluster.url.split(","), token=cluster.token)
    try:
        js = connection.jetstream(timeout=15)
        await js.add_stream(api.StreamConfig(name=STREAM, subjects=["held"], num_replicas=3))
        assert (await js.publish("held", b"before")).seq == 1
        lost = await cluster.until_leader(STREAM)
        await cluster.kill(lost)
        successor = await cluster.until_leader(STREAM)
        assert successor is not lost
        await publish_again(js, b"after")
        await lost.start()
        assert (await js.get_msg(STREAM, 1)).data == b"before"
    finally:
        await connection.close()

"""Copies of streams on a real nats-server, larger than what the server sends without hearing that it arrives."""

import contextlib
import secrets

import nats
import pytest

from cli.nats_server import LocalNats
from shared.bus.backup import copy_in, copying_out
from shared.contracts.errors import ConfigurationError, UnavailableError

MESSAGES, BYTES = 1600, 16 * 1024
"""Three windows; random, for the archive is compressed."""


@pytest.fixture
async def js(bus):
    stream = bus.jetstream()
    await stream.add_stream(name="BIG", subjects=["big.*"], metadata={"whose": "ours"})
    for number in range(MESSAGES - 1):
        await bus.publish(f"big.{number}", secrets.token_bytes(BYTES))
    await stream.publish("big.last", b"last")
    return stream


async def test_a_copy_is_the_stream(bus, js):
    """Every message under its sequence, and the configuration."""
    third = await js.get_msg("BIG", 3)
    async with copying_out(bus, "BIG") as (copy, parts):
        archive = [part async for part in parts]
    assert sum(map(len, archive)) > MESSAGES * BYTES * 0.9
    with pytest.raises(ConfigurationError, match="in use"):
        await copy_in(bus, "BIG", copy, archive)
    await js.delete_stream("BIG")
    assert await copy_in(bus, "BIG", copy, archive) == MESSAGES
    assert (await js.get_msg("BIG", 3)).data == third.data
    info = await js.stream_info("BIG")
    assert (info.state.last_seq, info.config.metadata["whose"]) == (MESSAGES, "ours")
    assert (await js.publish("big.next", b"")).seq == MESSAGES + 1


async def test_what_a_backups_user_needs(tmp_path):
    """The subjects that docs/operations.md names are enough, and nothing else of JetStream is among them."""
    publish = '["$JS.API.STREAM.INFO.*", "$JS.API.STREAM.SNAPSHOT.*", "$JS.API.STREAM.RESTORE.*", "$JS.SNAPSHOT.>"]'
    only = f'permissions: {{ publish: {publish}, subscribe: ["stagedoor.v1.lease.*", "_INBOX.operator.>"] }}'
    users = f"authorization {{ users: [ {{ user: all, password: x }}, {{ user: backup, password: x, {only} }} ] }}"
    server = LocalNats(tmp_path / "nats", more=[users])
    await server.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        everything = await nats.connect(server.url, user="all", password="x")
        stack.push_async_callback(everything.close)
        backup = await nats.connect(server.url, user="backup", password="x", inbox_prefix=b"_INBOX.operator")
        stack.push_async_callback(backup.close)
        js = everything.jetstream()
        await js.add_stream(name="SMALL", subjects=["small"])
        await js.publish("small", b"")
        async with copying_out(backup, "SMALL") as (copy, parts):
            archive = [part async for part in parts]
        with pytest.raises(TimeoutError):
            await backup.jetstream(timeout=0.5).delete_stream("SMALL")
        await js.delete_stream("SMALL")
        assert await copy_in(backup, "SMALL", copy, archive) == 1


async def test_a_copy_that_is_broken_makes_no_stream(bus, js):
    """The server refuses what is none of its archives, and what ends too early."""
    async with copying_out(bus, "BIG") as (copy, parts):
        archive = [part async for part in parts]
    await js.delete_stream("BIG")
    for broken in ([b"nonsense"], archive[:3]):
        with pytest.raises(UnavailableError):
            await copy_in(bus, "BIG", copy, broken)
        with pytest.raises(ConfigurationError, match="not found"):
            async with copying_out(bus, "BIG"):
                pass

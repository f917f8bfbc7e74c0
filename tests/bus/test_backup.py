"""Copies of streams on a real nats-server, larger than what the server sends without hearing that it arrives."""

import secrets

import pytest

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

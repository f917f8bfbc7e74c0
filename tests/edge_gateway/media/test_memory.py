"""A worker's memory is the same after any number of sessions."""

from tests.support.cycles import BLOCKS, BYTES, OBJECTS, MediaCycle


async def test_sessions_leave_nothing_behind_in_an_engine(forwarder):
    """Who publishes and who receives, with ICE, DTLS, media and repairs: neither objects nor memory of libraries."""
    grown = await MediaCycle.with_engine(forwarder)
    assert grown["objects"] < OBJECTS, grown
    assert grown["blocks"] < BLOCKS, grown
    assert grown["bytes"] < BYTES, grown

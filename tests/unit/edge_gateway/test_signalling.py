import asyncio

import pytest

from services.edge_gateway.protocol import CloseCode
from services.edge_gateway.signalling import SocketClosedError, _Reader


class SilentWebSocket:
    """Of which nothing is heard any more, not even its end."""

    async def receive(self):
        await asyncio.Event().wait()


async def test_a_socket_that_cannot_be_written_to_is_not_listened_to_for_ever():
    """The reading half ends with the writing half, and with its code."""

    async def write():
        return CloseCode.LOST

    reader = _Reader(SilentWebSocket(), asyncio.create_task(write()))
    with pytest.raises(SocketClosedError) as closed:
        await asyncio.wait_for(reader.read(), 5)
    assert closed.value.code == CloseCode.LOST

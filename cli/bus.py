"""The command line's way onto the bus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from nats.aio.client import Client

from shared.bus.connection import connection_of, make_broker
from shared.contracts.errors import UnavailableError
from shared.contracts.subjects import Part
from shared.settings import BusSettings

_CONNECT_SECONDS = 5.0


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """Connect to NATS for the length of the block.

    Raises:
        UnavailableError: there is none, or it does not let us in.
    """
    settings = BusSettings.load()
    broker = make_broker(settings, Part.OPERATOR)
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await broker.connect()
    except TimeoutError as error:
        raise UnavailableError(
            f"no NATS at {settings.nats_url} that lets us in: is `stagedoor up` running? (STAGEDOOR_NATS_URL, STAGEDOOR_NATS_TOKEN)"
        ) from error
    try:
        yield connection_of(broker)
    finally:
        await broker.stop()

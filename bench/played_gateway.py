"""A gateway without browsers: says on the bus that it is there, so that members can join straight at the registry."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from nats.aio.client import Client

from shared.clients.leases import GatewayLeases
from shared.contracts.errors import UnavailableError
from shared.contracts.ids import gateway_id
from shared.contracts.leases import GatewayLease


@contextlib.asynccontextmanager
async def played_gateway(connection: Client) -> AsyncIterator[str]:
    """Hold a gateway's lease until the block ends; yields the gateway's id."""
    lease = GatewayLease(gateway=gateway_id("played", secrets.token_hex(8)), isolation_grace=None, reconnect_grace=3600)
    leases = GatewayLeases(connection)
    await leases.renew(lease)
    renewing = asyncio.create_task(_renew(leases, lease))
    try:
        yield lease.gateway
    finally:
        renewing.cancel()


async def _renew(leases: GatewayLeases, lease: GatewayLease) -> None:
    while True:
        await asyncio.sleep(1)
        with contextlib.suppress(UnavailableError):
            await leases.renew(lease)

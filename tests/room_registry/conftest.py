"""A registry on a real nats-server; gateways and admin_api are played by the test."""

import asyncio
import contextlib
import hashlib
import secrets

import pytest

from services.room_registry.app import build
from services.room_registry.settings import RegistrySettings
from shared.clients.commands import CommandClient, deadline
from shared.clients.leases import GatewayLeases
from shared.contracts.commands import Detach, Dismiss, Join, Leave, Remove, Resume, Role, SwitchRole
from shared.contracts.leases import GatewayLease
from tests.support.running import running

APP = 1400000001
EDGE = "edge_" + "0" * 16
OTHER = "other_" + "1" * 16
PARTITIONS = 24
"""So many that none of two replicas is left without any: each falls to one of them by chance."""


@pytest.fixture
def registry_settings(nats_server):
    # Gateways are played, most of them without a lease: nobody is lost unless a test wants it.
    return RegistrySettings(
        nats_url=nats_server.url, port=0, partitions=PARTITIONS, stop_seconds=5, isolation_margin=3600, rooms_span_gateways=True
    )


@pytest.fixture
async def registry(registry_settings):
    service = build(registry_settings)
    async with running(service):
        yield service


def token(session):
    """The digest of a session's token."""
    return hashlib.sha256(session.encode()).hexdigest()


class Caller:
    """Sends commands as a gateway and an operator would, straight to the partitions."""

    def __init__(self, connection, seconds=10.0):
        self.client = CommandClient(connection, PARTITIONS)
        self.seconds = seconds

    def common(self, room):
        return {"id": secrets.token_hex(16), "app": APP, "room": room, "expires_at": deadline(self.seconds)}

    async def join(self, user="ann", room=1, role=Role.ANCHOR, session=None, gateway=EDGE):
        session = session or secrets.token_hex(16)
        names = {"session": session, "user": user, "role": role, "gateway": gateway, "token": token(session)}
        await self.client.send(Join(**self.common(room), **names))
        return session

    async def resume(self, session, gateway=OTHER, room=1):
        return await self.client.send(Resume(**self.common(room), session=session, gateway=gateway, token=token(session)))

    async def detach(self, session, attachment, gateway=EDGE, room=1):
        return await self.client.send(Detach(**self.common(room), session=session, gateway=gateway, attachment=attachment))

    async def switch_role(self, session, role, attachment=1, room=1):
        return await self.client.send(SwitchRole(**self.common(room), session=session, role=role, attachment=attachment))

    async def leave(self, session, room=1, reason="left"):
        return await self.client.send(Leave(**self.common(room), session=session, reason=reason))

    async def remove(self, *users, room=1, **fields):
        return await self.client.send(Remove(**(self.common(room) | fields), users=users))

    async def dismiss(self, room=1, **fields):
        return await self.client.send(Dismiss(**(self.common(room) | fields)))


@pytest.fixture
async def caller(bus):
    return Caller(bus)


@contextlib.asynccontextmanager
async def renewing(connection, gateway, *, isolation, reconnect, every=0.1):
    """Renew a gateway's lease for the length of the block, as often as it takes."""
    leases = GatewayLeases(connection)
    await leases.ensure(1)
    lease = GatewayLease(gateway=gateway, isolation_grace=isolation, reconnect_grace=reconnect)

    async def renew():
        while True:
            await leases.renew(lease)
            await asyncio.sleep(every)

    await leases.renew(lease)
    renewal = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewal.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewal

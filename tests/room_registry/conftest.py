"""A registry on a real nats-server; gateways and admin_api are played by the test."""

import secrets

import pytest

from services.room_registry.app import build
from services.room_registry.settings import RegistrySettings
from shared.clients.commands import CommandClient, deadline
from shared.contracts.commands import Announce, Dismiss, Join, Leave, Remove, Role
from tests.support.running import running

APP = 1400000001
EDGE = "edge_" + "0" * 16
PARTITIONS = 24
"""So many that none of two replicas is left without any: each falls to one of them by chance."""


@pytest.fixture
def registry_settings(nats_server):
    return RegistrySettings(nats_url=nats_server.url, port=0, partitions=PARTITIONS, stop_seconds=5)


@pytest.fixture
async def registry(registry_settings):
    service = build(registry_settings)
    async with running(service):
        yield service


class Caller:
    """Sends commands as a gateway and an operator would, straight to the partitions."""

    def __init__(self, connection, seconds=10.0):
        self.client = CommandClient(connection, PARTITIONS)
        self.seconds = seconds

    def common(self, room):
        return {"id": secrets.token_hex(16), "app": APP, "room": room, "expires_at": deadline(self.seconds)}

    async def announce(self, gateway=EDGE):
        command = Announce(id=secrets.token_hex(16), gateway=gateway, expires_at=deadline(self.seconds))
        return [await self.client.announce(partition, command) for partition in range(PARTITIONS)]

    async def join(self, user="ann", room=1, role=Role.ANCHOR, session=None, gateway=EDGE):
        session = session or secrets.token_hex(16)
        await self.client.send(Join(**self.common(room), session=session, user=user, role=role, gateway=gateway))
        return session

    async def leave(self, session, room=1, reason="left"):
        return await self.client.send(Leave(**self.common(room), session=session, reason=reason))

    async def remove(self, *users, room=1, **fields):
        return await self.client.send(Remove(**(self.common(room) | fields), users=users))

    async def dismiss(self, room=1):
        return await self.client.send(Dismiss(**self.common(room)))


@pytest.fixture
async def caller(bus):
    return Caller(bus)

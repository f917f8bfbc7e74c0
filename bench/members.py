"""Members without browsers: joined straight at the registry, over the bus."""

import asyncio
import secrets
import time
from collections.abc import Iterator

from nats.aio.client import Client

from bench.installation import APP
from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient, deadline
from shared.contracts.commands import Join, Role

_IN_FLIGHT = 256
_SECONDS = 60.0


async def join_members(connection: Client, gateway: str, members: int, rooms: int) -> float:
    """Join so many anchors, spread evenly over rooms 1 to ``rooms``; returns the seconds that took."""
    client = CommandClient(connection, await EventStream(connection).wait_for_partitions())
    began = time.perf_counter()
    numbers = iter(range(members))
    async with asyncio.TaskGroup() as group:
        for _ in range(_IN_FLIGHT):
            group.create_task(_join(client, gateway, numbers, rooms))
    return time.perf_counter() - began


async def _join(client: CommandClient, gateway: str, numbers: Iterator[int], rooms: int) -> None:
    for number in numbers:
        session = secrets.token_hex(16)
        await client.send(
            Join(
                id=session,
                expires_at=deadline(_SECONDS),
                app=APP.sdk_app_id,
                room=number % rooms + 1,
                session=session,
                user=f"member-{number}",
                role=Role.ANCHOR,
                gateway=gateway,
                token=secrets.token_hex(32),
            )
        )

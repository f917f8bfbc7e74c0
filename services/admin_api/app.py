"""The server API as a service."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import structlog
from starlette.routing import Route

from services.admin_api.bus import BusRegistry
from services.admin_api.http import Endpoint
from services.admin_api.settings import AdminSettings
from services.admin_api.use_cases import Administration
from shared.bus.connection import make_broker
from shared.contracts.subjects import Part
from shared.rates import RateLimits
from shared.service import Service

log = structlog.get_logger()


def build(
    settings: AdminSettings,
    *,
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    monotonic: Callable[[], float] = time.monotonic,
    new_id: Callable[[], UUID] = uuid4,
) -> Service:
    """Build the server API.

    Args:
        settings: what it is told.
        clock: Unix time in milliseconds.
        monotonic: a clock in seconds that never goes back.
        new_id: makes the random ids of requests and commands; each is used once.
    """
    broker = make_broker(settings, Part.ADMIN)
    registry = BusRegistry(broker)
    endpoint = Endpoint(
        settings.apps(),
        Administration(registry, clock, settings.admin_command_seconds),
        RateLimits(settings.admin_rate),
        body_bytes=settings.admin_body_bytes,
        clock=clock,
        monotonic=monotonic,
        new_id=new_id,
    )

    async def stop() -> None:
        # The bus goes before HTTP does: let what is under way have its answer first.
        try:
            await asyncio.wait_for(endpoint.idle(), settings.stop_seconds / 2)
        except TimeoutError:
            log.warning("requests_left_unanswered")
        await registry.stop()

    service = Service(
        Part.ADMIN,
        settings,
        broker,
        start=lambda: registry.start(service.fail),
        stop=stop,
        missing=registry.missing,
        # Not a function: Starlette then leaves the methods to the endpoint.
        routes=[Route("/", endpoint)],
    )
    return service

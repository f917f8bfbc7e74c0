"""The server API as a service."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID, uuid4

from starlette.routing import Route

from services.admin_api.bus import BusRegistry
from services.admin_api.http import Endpoint
from services.admin_api.metrics import AdminMetrics
from services.admin_api.settings import AdminSettings
from services.admin_api.use_cases import Administration
from shared.bus.connection import connection_of, make_broker
from shared.contracts.subjects import Part
from shared.rates import RateLimits
from shared.service import Service
from shared.tracing import make_tracer


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
        new_id: makes the random ids of requests; each is used once.
    """
    metrics = AdminMetrics()
    broker = make_broker(settings, Part.ADMIN, metrics)
    registry = BusRegistry()
    apps = settings.apps()
    keeping: list[asyncio.Task[None]] = []
    tracer = make_tracer(settings, Part.ADMIN)
    endpoint = Endpoint(
        apps,
        Administration(
            registry,
            registry,
            clock=clock,
            seconds=settings.admin_command_seconds,
            receipt_seconds=settings.admin_receipt_seconds,
        ),
        RateLimits(settings.admin_rate),
        metrics,
        tracer,
        body_bytes=settings.admin_body_bytes,
        clock=clock,
        monotonic=monotonic,
        new_id=new_id,
    )

    async def start() -> None:
        keeping.append(asyncio.create_task(settings.keep(apps)))
        await registry.start(connection_of(broker))

    async def stop() -> None:
        """No request is under way any more: HTTP ends before the bus."""
        for task in keeping:
            task.cancel()

    return Service(
        Part.ADMIN,
        settings,
        broker,
        metrics,
        tracer,
        start=start,
        stop=stop,
        missing=registry.missing,
        # Not a function: Starlette then leaves the methods to the endpoint.
        routes=[Route("/", endpoint)],
    )

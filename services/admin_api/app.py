"""The server API as a service."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID, uuid4

from faststream.nats import NatsBroker
from starlette.routing import Route

from services.admin_api.bus import BusRegistry
from services.admin_api.http import Endpoint
from services.admin_api.metrics import AdminMetrics
from services.admin_api.settings import AdminSettings
from services.admin_api.use_cases import Administration
from shared.auth.apps import Apps
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
    metrics, tracer = AdminMetrics(), make_tracer(settings, Part.ADMIN)
    broker = make_broker(settings, Part.ADMIN, metrics)
    registry, apps = BusRegistry(), settings.apps()
    process = Process(settings, apps, broker, registry)
    seconds, receipt_seconds = settings.admin_command_seconds, settings.admin_receipt_seconds
    endpoint = Endpoint(
        apps,
        Administration(registry, registry, clock=clock, seconds=seconds, receipt_seconds=receipt_seconds),
        RateLimits(settings.admin_rate),
        metrics,
        tracer,
        body_bytes=settings.admin_body_bytes,
        clock=clock,
        monotonic=monotonic,
        new_id=new_id,
    )
    return Service(
        Part.ADMIN,
        settings,
        broker,
        metrics,
        tracer,
        start=process.start,
        stop=process.stop,
        missing=registry.missing,
        # Not a function: Starlette then leaves the methods to the endpoint.
        routes=[Route("/", endpoint)],
    )


class Process:
    """What starts and ends with the process: the apps are kept as their file has them, and the registry is asked."""

    def __init__(self, settings: AdminSettings, apps: Apps, broker: NatsBroker, registry: BusRegistry) -> None:
        self._settings = settings
        self._apps = apps
        self._broker = broker
        self._registry = registry
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._keeping = asyncio.create_task(self._settings.keep(self._apps))
        await self._registry.start(connection_of(self._broker))

    async def stop(self) -> None:
        """End. No request is under way any more: HTTP ends before the bus."""
        if self._keeping is not None:
            self._keeping.cancel()

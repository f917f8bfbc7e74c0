"""Connecting to NATS, with the defaults that are wrong for a service set right."""

import structlog
from faststream.nats import NatsBroker
from faststream.nats.security import NatsToken
from faststream.security import BaseSecurity
from nats.aio.client import Client

from shared.contracts.errors import UnavailableError
from shared.settings import BusSettings

log = structlog.get_logger()

PING_SECONDS = 3
"""nats-py's own 2 minutes leave a frozen server unnoticed for four."""


def make_broker(settings: BusSettings, name: str) -> NatsBroker:
    """Make a broker that is not connected yet. It reconnects for ever: services outlive the bus's absences."""

    # Whatever is raised in here would end nats-py's read loop without a word.
    async def on_error(error: Exception) -> None:
        log.warning("nats_error", error=str(error) or type(error).__name__)

    async def on_disconnect() -> None:
        connection = broker.connection
        if connection is not None and not connection.is_closed:
            log.warning("nats_disconnected")

    async def on_reconnect() -> None:
        log.info("nats_reconnected")

    broker = NatsBroker(
        settings.nats_url.split(","),
        name=name,
        security=_security(settings),
        connect_timeout=2,
        reconnect_time_wait=1,
        max_reconnect_attempts=-1,
        ping_interval=PING_SECONDS,
        max_outstanding_pings=2,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
        logger=None,
    )
    return broker


def connection_of(broker: NatsBroker) -> Client:
    """Return the connection under a broker: the raw path, for what is hot or what FastStream lacks.

    Raises:
        UnavailableError: the broker is not connected.
    """
    connection = broker.connection
    if connection is None:
        raise UnavailableError("not connected to NATS")
    return connection


def _security(settings: BusSettings) -> BaseSecurity | None:
    return None if settings.nats_token is None else NatsToken(settings.nats_token.get_secret_value())

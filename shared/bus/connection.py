"""Connecting to NATS, with the defaults that are wrong for a service set right."""

import contextlib
import ssl
from pathlib import Path

import nats.errors
import nkeys
import structlog
from faststream.exceptions import IncorrectState
from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey, NatsSecurity, NatsToken
from nats.aio.client import Client, ErrorCallback

from shared.contracts.errors import ConfigurationError, UnavailableError
from shared.contracts.subjects import inbox_prefix, without_rooms
from shared.metrics import Metrics
from shared.settings import BusSettings

log = structlog.get_logger()

PING_SECONDS = 3
"""nats-py's own 2 minutes leave a frozen server unnoticed for four."""
_SILENT_SECONDS = 2
"""After which nobody waits for a server any more, at the end."""


class _Broker(NatsBroker):
    """A broker that goes on reconnecting, also where the server has refused it.

    FastStream raises such a refusal from nats-py's error callback, which ends the reconnecting without a word. At the first
    connection that is right: a key that does not count is said at once.
    """

    def _log_connection_broken(self, error_cb: ErrorCallback | None = None) -> ErrorCallback:
        at_first = super()._log_connection_broken(error_cb)

        async def on_error(error: Exception) -> None:
            if not self.config.connection_state:
                await at_first(error)
            elif error_cb is not None:
                await error_cb(error)

        return on_error


def make_broker(settings: BusSettings, name: str, metrics: Metrics | None = None) -> NatsBroker:
    """Make a broker that is not connected yet. It reconnects for ever: services outlive the bus's absences.

    Args:
        settings: where the bus is, and what lets this process in.
        name: of the part of Stagedoor that this is; its answers go to an inbox of that name.
        metrics: told of reconnections.

    Raises:
        ConfigurationError: a file that the settings name cannot be used.
    """

    # Whatever is raised in here would end nats-py's read loop without a word.
    async def on_error(error: Exception) -> None:
        if metrics is not None:
            metrics.bus_failed()
        log.warning("nats_error", error=without_rooms(str(error)) or type(error).__name__)

    async def on_disconnect() -> None:
        connection = broker.connection
        if connection is not None and not connection.is_closed:
            log.warning("nats_disconnected")

    async def on_reconnect() -> None:
        if metrics is not None:
            metrics.bus_reconnected()
        log.info("nats_reconnected")

    broker = _Broker(
        settings.nats_url.split(","),
        name=name,
        security=_security(settings),
        inbox_prefix=inbox_prefix(name),
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
    if metrics is not None:
        metrics.watch_bus(lambda: broker.connection is not None and broker.connection.is_connected)
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


async def let_go_if_silent(connection: Client) -> None:
    """Close a connection whose server does not answer: taking leave of it, nats-py would wait for longer than an end may take."""
    if not connection.is_connected:
        return
    try:
        await connection.flush(timeout=_SILENT_SECONDS)
    except (nats.errors.Error, TimeoutError):
        log.warning("bus_silent", seconds=_SILENT_SECONDS)
        await drop(connection)


async def drop_what_is_left(broker: NatsBroker) -> None:
    """Close a broker's connection where nobody has: after a start that failed, or an end that broke."""
    try:
        connection = broker.connection
    except IncorrectState:
        # There was none, or it was left as it should be.
        return
    if connection is not None:
        await drop(connection)


async def drop(connection: Client) -> None:
    """Close a connection without taking leave, in whatever state it is: one that is lost may still have something to write."""
    with contextlib.suppress(OSError, nats.errors.Error):
        await connection.close()


def _security(settings: BusSettings) -> NatsSecurity:
    context = _tls(settings)
    # Said to be optional, TLS would be left out whenever somebody in between says that the server has none.
    first = context is not None
    if settings.nats_nkey_file is not None:
        # Its content, not its path: nats-py would sign with a new seed for the old public key when it reconnects.
        return NatsNKey.from_seed(_seed(settings.nats_nkey_file), ssl_context=context, tls_handshake_first=first)
    if settings.nats_token is not None:
        return NatsToken(settings.nats_token.get_secret_value(), ssl_context=context, tls_handshake_first=first)
    return NatsSecurity(ssl_context=context, tls_handshake_first=first)


def _seed(path: Path) -> str:
    try:
        seed = path.read_text().strip()
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except OSError as error:
        raise ConfigurationError(f"STAGEDOOR_NATS_NKEY_FILE: {path}: {error.strerror}") from None
    except Exception:  # noqa: BLE001 -- whatever a broken seed makes the library raise might show it
        raise ConfigurationError(f"STAGEDOOR_NATS_NKEY_FILE: {path} holds no nkey seed") from None
    return seed


def _tls(settings: BusSettings) -> ssl.SSLContext | None:
    if settings.nats_ca_file is None and "tls://" not in settings.nats_url:
        return None
    try:
        return ssl.create_default_context(cafile=settings.nats_ca_file)
    except OSError as error:
        raise ConfigurationError(f"STAGEDOOR_NATS_CA_FILE: {settings.nats_ca_file}: {error.strerror or 'no certificates'}") from None

"""How a service lives: HTTP first, then the bus, then its work; and the same backwards.

FastStream runs the life cycle of the broker and its handlers; uvicorn serves HTTP, health included. ``/livez`` answers
as long as the process turns; ``/readyz`` answers 200 when nothing is missing, otherwise 503 and what is.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import NoReturn, TypeVar

import nats.errors
import structlog
import uvicorn
import uvloop
from faststream.asgi import AsgiFastStream
from faststream.nats import NatsBroker
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from shared import logging
from shared.bus.connection import connection_of, drop_what_is_left, let_go_if_silent
from shared.contracts.errors import ConfigurationError, StagedoorError
from shared.http_server import HttpProtocol, WebSocketProtocol
from shared.metrics import Metrics
from shared.process import collect_less
from shared.settings import Settings
from shared.tracing import Tracer

log = structlog.get_logger()
S = TypeVar("S", bound=Settings)

MAX_MESSAGE_BYTES = 64 * 1024
PING_SECONDS = 10.0
_CONNECT_SECONDS = 10.0
METRICS_CONNECTIONS = 8
"""At once, to where metrics are served."""


class ServiceFailedError(StagedoorError):
    """The service cannot go on; the text says why."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to :meth:`Service.run`, so that several services can run in one process (tests do)."""
        yield


async def _at_once() -> None:
    """How a service drains that has nothing to hand over while it still listens."""


class Service:
    """One process of Stagedoor.

    Args:
        name: as in the log.
        settings: where to listen and how long a graceful end may take.
        broker: not yet connected.
        metrics: what is served apart from everything else.
        tracer: closed at the end.
        routes: what is served beside the health endpoints.
        trusted_proxies: addresses whose X-Forwarded-For is believed, separated by commas.
        start: called with the broker connected; its failure ends the service.
        drain: called when a graceful end is asked for, before HTTP ends; bounds its own time.
        stop: called before the broker disconnects, whether or not ``start`` has ended.
        missing: what stands against being ready, in words; nothing is ready.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        broker: NatsBroker,
        metrics: Metrics,
        tracer: Tracer,
        *,
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
        missing: Callable[[], Sequence[str]],
        drain: Callable[[], Awaitable[None]] = _at_once,
        routes: Sequence[BaseRoute] = (),
        trusted_proxies: str = "",
    ) -> None:
        self.name = name
        self._settings = settings
        self.metrics = metrics
        self._tracer = tracer
        self._missing = missing
        self._drain = drain
        self._trusted_proxies = trusted_proxies
        self._broker = broker

        # FastStream takes a callable that is not a coroutine function for blocking work, and gives it a thread.
        async def started() -> None:
            await start()

        async def stopping() -> None:
            await stop()
            await let_go_if_silent(connection_of(broker))

        self._bus = AsgiFastStream(broker, logger=None, after_startup=[started], on_shutdown=[stopping])
        self._started = False
        self._failure: str | None = None
        self._stop = asyncio.Event()
        self._http_ended = asyncio.Event()
        self._listening = asyncio.Event()
        self.address: tuple[str, int] = (settings.host, settings.port)
        self.metrics_address: tuple[str, int] | None = None
        self.app = Starlette(
            routes=[Route("/livez", _livez), Route("/readyz", self._readyz), *routes],
            lifespan=self._lifespan,
        )

    def stop(self) -> None:
        """Ask for a graceful end."""
        self._stop.set()

    def fail(self, reason: str) -> None:
        """End the service because it cannot go on; :meth:`serve` raises."""
        self._failure = self._failure or reason
        self._stop.set()

    async def listening(self) -> None:
        """Wait until :attr:`address` is bound and answers."""
        await self._listening.wait()

    async def serve(self) -> None:
        """Serve until :meth:`stop`.

        Raises:
            ConfigurationError: the address cannot be listened on.
            ServiceFailedError: the service could not start, or cannot go on.
        """
        listener = listen(self._settings.host, self._settings.port)
        self.address = listener.getsockname()[:2]
        server = self._make_server()

        async def end() -> None:
            await self._stop.wait()
            if self._started and self._failure is None:
                await self._drain_logged()
            server.should_exit = True

        ending = asyncio.create_task(end())
        try:
            async with self._exposing_metrics():
                await server.serve(sockets=[listener])
        finally:
            ending.cancel()
            listener.close()
            await asyncio.to_thread(self._tracer.close)
        if self._failure:
            raise ServiceFailedError(self._failure)

    def _make_server(self) -> _Server:
        settings = self._settings
        server = _Server(
            uvicorn.Config(
                self.app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(self._trusted_proxies),
                forwarded_allow_ips=self._trusted_proxies,
                http=HttpProtocol,
                ws=WebSocketProtocol,
                limit_concurrency=settings.max_connections,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_SECONDS,
                ws_per_message_deflate=False,
                # The other half is for what ``stop`` does. uvicorn hands the number to asyncio.wait_for, which takes any.
                timeout_graceful_shutdown=settings.stop_seconds / 2,  # type: ignore[arg-type]
            )
        )
        self.metrics.watch_service(
            ready=lambda: not self._what_is_missing(),
            connections=lambda: len(server.server_state.connections),
            max_connections=settings.max_connections,
        )
        return server

    @contextlib.asynccontextmanager
    async def _exposing_metrics(self) -> AsyncIterator[None]:
        """Serve metrics for the length of the block, where that is asked for, and there only."""
        settings = self._settings
        if settings.metrics_port is None:
            yield
            return
        listener = listen(settings.metrics_host, settings.metrics_port)
        self.metrics_address = listener.getsockname()[:2]
        config = uvicorn.Config(
            Starlette(routes=[self.metrics.route()]),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            http=HttpProtocol,
            ws="none",
            limit_concurrency=METRICS_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
            listener.close()

    async def _drain_logged(self) -> None:
        try:
            await self._drain()
        except Exception:
            log.exception("drain_broken")

    async def run(self) -> int:
        """Serve as a process: SIGTERM and SIGINT end it gracefully. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            await self.serve()
        except StagedoorError as error:
            log.error("service_failed", reason=str(error))  # noqa: TRY400 -- for the operator: the text says it all
            return 1
        log.info("service_ended")
        return 0

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(self._work())
        self._listening.set()
        try:
            yield
        finally:
            self._http_ended.set()
            await work

    async def _work(self) -> None:
        """Connect, start, and wait for the end of HTTP, which answers meanwhile: not ready is an answer, too."""
        connecting = asyncio.create_task(self._connect())
        stopping = asyncio.create_task(self._http_ended.wait())
        try:
            await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                return
            # Who is not let in at all is told so now.
            connecting.result()
            async with self._bus.start_lifespan_context():
                self._started = True
                log.info("service_started", host=self.address[0], port=self.address[1])
                await self._http_ended.wait()
                self._started = False
        except StagedoorError as error:
            self.fail(str(error))
        except Exception as error:
            if not _is_of_the_bus(error):
                log.exception("service_broken")
                self.fail(str(error) or type(error).__name__)
                return
            # At the end there may be no bus to take leave of.
            log.warning("bus_not_left", reason=str(error))
            if not self._http_ended.is_set():
                self.fail(str(error))
        finally:
            connecting.cancel()
            stopping.cancel()
            # After a start that failed, or a bus that was not there at the end, nobody else does.
            await drop_what_is_left(self._broker)

    async def _connect(self) -> None:
        """Connect for the first time. After a TLS handshake that failed nats-py would wait for ever, so it begins anew."""
        while True:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await self._broker.connect()
                    return
            except TimeoutError:
                log.warning("bus_not_reached", seconds=_CONNECT_SECONDS)

    def _what_is_missing(self) -> list[str]:
        connection = self._broker.connection if self._started else None
        if connection is None:
            return ["starting"]
        if not connection.is_connected:
            return ["not connected to NATS"]
        return list(self._missing())

    async def _readyz(self, _request: Request) -> Response:
        missing = self._what_is_missing()
        return JSONResponse({"ready": not missing, "missing": missing}, status_code=503 if missing else 200)


def _is_of_the_bus(error: Exception) -> bool:
    """Say whether an error is NATS' own; of a group, whether all in it are."""
    if isinstance(error, ExceptionGroup):
        return all(_is_of_the_bus(each) for each in error.exceptions)
    return isinstance(error, nats.errors.Error)


async def _livez(_request: Request) -> Response:
    return PlainTextResponse("ok")


def listen(host: str, port: int) -> socket.socket:
    """Bind a listening TCP socket.

    Raises:
        ConfigurationError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def main(name: str, settings_type: type[S], build: Callable[[S], Service]) -> NoReturn:
    """Run a service as a process, from its environment to its exit code."""

    async def run() -> int:
        collect_less()
        settings = settings_type.load()
        logging.configure(name, settings.log_level, logging.Privacy.of(settings))
        return await build(settings).run()

    try:
        sys.exit(uvloop.run(run()))
    except ConfigurationError as error:
        sys.exit(f"{name}: {error}")

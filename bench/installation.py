"""An installation for a measurement: NATS and services as real processes on loopback, which end with this one."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nats
import structlog
import uvloop
from nats.aio.client import Client

from cli.nats_server import LocalNats, die_with_parent
from shared.auth.apps import App
from shared.auth.usersig import sign
from tests.support.cluster import NatsCluster
from tests.support.ports import free_port
from tests.support.running import until_answers

APP = App(1400000001, "the-key-that-signs")
SECRET_ID, API_SECRET = "AKIDbench", "the-key-that-calls"
ROOT = Path(__file__).parents[1]
_PLENTY = 1_000_000
"""Of what is bounded, and not what is measured here."""
_READY_SECONDS = 60.0


class Running:
    """One process of a service."""

    def __init__(self, name: str, port: int, log: Path, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.port = port
        self.log = log
        self.process = process

    @property
    def address(self) -> str:
        """Where it answers HTTP, as a URL without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def until_ready(self) -> None:
        """Wait until it takes work.

        Raises:
            RuntimeError: it ended instead, or is not ready in time.
        """
        ready = asyncio.create_task(until_answers(f"{self.address}/readyz", _READY_SECONDS))
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not ready.done() or ready.exception() is not None:
            ready.cancel()
            last = self.log.read_text(errors="replace").splitlines()[-1:]
            raise RuntimeError(f"{self.name} is not ready: {' '.join(last)[:500]}")

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal and wait for its end. Harmless where it has ended."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        await self.process.wait()

    def lines(self) -> list[dict[str, object]]:
        """Read its log; a line that is still being written is left out."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]


class Installation:
    """NATS, and the services that are started on it; an ``async with`` block ends all of them.

    Args:
        sync_always: whether every write of a stream is on the disk before it is acknowledged.
        cluster: three NATS servers with streams of three replicas, not one server.
        settings: of the services, by their names without the prefix, in small letters.
    """

    def __init__(self, *, sync_always: bool = True, cluster: bool = False, **settings: object) -> None:
        self._directory = tempfile.TemporaryDirectory()
        directory = Path(self._directory.name)
        self._bus: LocalNats | NatsCluster = (
            NatsCluster(directory, sync_always=sync_always) if cluster else LocalNats(directory / "nats", sync_always=sync_always)
        )
        self._settings = {
            "sdk_app_id": APP.sdk_app_id,
            "secret_key": APP.secret_key,
            "secret_id": SECRET_ID,
            "api_secret_key": API_SECRET,
            "media_port": 0,
            "stream_replicas": 3 if cluster else 1,
            "joins_per_second": _PLENTY,
            "admin_rate": _PLENTY,
            "log_level": "info",
        } | settings
        self._stack = contextlib.AsyncExitStack()
        self._count = 0

    async def __aenter__(self) -> Self:
        self._stack.callback(self._directory.cleanup)
        await self._bus.start()
        self._stack.push_async_callback(self._bus.stop)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    @property
    def nats_url(self) -> str:
        """Where NATS is: addresses with commas between."""
        return self._bus.url

    async def connect(self) -> Client:
        """Another client on the bus."""
        connection = await nats.connect(self.nats_url.split(","))
        self._stack.push_async_callback(connection.close)
        return connection

    async def start(self, name: str) -> Running:
        """Start a process of a service and wait until it is ready."""
        self._count += 1
        port = free_port()
        log = Path(self._directory.name) / f"{self._count}-{name}.log"
        settings = self._settings | {"nats_url": self.nats_url, "port": port, "gateway_name": f"gateway-{self._count}"}
        process = await spawn(f"services.{name}", log, {f"STAGEDOOR_{key.upper()}": str(value) for key, value in settings.items()})
        running = Running(name, port, log, process)
        self._stack.push_async_callback(running.end)
        await running.until_ready()
        return running


async def spawn(module: str, log: Path, environment: dict[str, str]) -> asyncio.subprocess.Process:
    """Run a module of this tree as a process that ends with this one, its output in a file."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            cwd=ROOT,
            env=_inherited() | environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent,
        )


@contextlib.asynccontextmanager
async def talking(module: str, *arguments: str) -> AsyncIterator["Talking"]:
    """Run a module of this tree as a process that is spoken to, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=ROOT,
        env=_inherited(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent,
    )
    try:
        yield Talking(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Talking:
    """A process that answers with lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def tell(self, message: object) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> object:
        """Wait for its next line.

        Raises:
            RuntimeError: it ended instead.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of the measurement ended: exit code {await self._process.wait()}")
        return json.loads(line)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a measurement; SIGTERM ends it as Ctrl-C does, and what it started with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        uvloop.run(work)
    except KeyboardInterrupt:
        sys.exit("interrupted")


def user_sig(user: str) -> str:
    """Sign a UserSig as an application's back end does."""
    return sign(APP, user, int(time.time()), 3600)


def _inherited() -> dict[str, str]:
    """Return the environment without settings that are meant for another installation."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STAGEDOOR_")}

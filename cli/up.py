"""`stagedoor up`: everything on one machine, on loopback, until Ctrl-C.

Each service is a process of its own, as in production. When one ends, all end, and this says why.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field

from cli.arguments import Commands
from cli.nats_server import LocalNats, die_with_parent
from shared.contracts.errors import ConfigurationError, StagedoorError
from shared.settings import EnvironmentSettings

_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0


_SECRETS = frozenset(
    {"STAGEDOOR_SECRET_KEY", "STAGEDOOR_SECRET_ID", "STAGEDOOR_API_SECRET_KEY", "STAGEDOOR_NATS_TOKEN", "STAGEDOOR_SDK_APP_ID"}
)
_NEEDS = {
    "room_registry": ["STAGEDOOR_NATS_TOKEN"],
    "edge_gateway": ["STAGEDOOR_NATS_TOKEN", "STAGEDOOR_SDK_APP_ID", "STAGEDOOR_SECRET_KEY"],
    "admin_api": sorted(_SECRETS),
}
"""What each service is told of the credentials: no more than it needs."""
_OTHERS = {"room_registry": {"STAGEDOOR_TURN_SECRET"}, "edge_gateway": set[str](), "admin_api": {"STAGEDOOR_TURN_SECRET"}}
"""Secrets of the environment that a service has no use for."""


class UpSettings(EnvironmentSettings):
    """What may be set for a start on one machine; what else the environment says is handed to the services."""

    data_dir: Path = Path(".stagedoor")
    gateway_port: int = Field(default=8080, ge=1, le=65535)
    admin_port: int = Field(default=8081, ge=1, le=65535)
    media_port: int = Field(default=8082, ge=1, le=65535)
    registry_port: int = Field(default=8083, ge=1, le=65535)
    nats_port: int = Field(default=4222, ge=1, le=65535)
    metrics_port: int | None = Field(default=None, ge=1, le=65533)
    """The first of three: room_registry's, admin_api's and edge_gateway's metrics. None is no metrics."""
    media_advertise: str = ""
    """Addresses that browsers are told for media; nothing is the machine's first one, and 127.0.0.1."""


class EndedError(StagedoorError):
    """A process ended by itself."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("up", help="start everything on this machine", description=__doc__)
    parser.set_defaults(run=run)


async def run(_arguments: argparse.Namespace) -> int:
    """Start, wait, end."""
    settings = UpSettings.load()
    _check_ports(settings)
    credentials = ensure_credentials(settings.data_dir / "dev.env")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    machine = Machine(settings, credentials)
    try:
        if await machine.start(stop):
            print(_welcome(settings, credentials), flush=True)
            await machine.wait(stop)
    finally:
        print("stopping ...", flush=True)
        await machine.stop()
    return 0


class Machine:
    """A nats-server and the three services, as processes of this one."""

    def __init__(self, settings: UpSettings, credentials: dict[str, str]) -> None:
        self._settings = settings
        self._credentials = credentials
        self._nats = LocalNats(settings.data_dir.absolute() / "nats", settings.nats_port, credentials["STAGEDOOR_NATS_TOKEN"])
        self._services: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, stop: asyncio.Event) -> bool:
        """Start everything and wait until it is ready; False where the user has had enough before.

        Raises:
            ConfigurationError: nats-server does not start.
            EndedError: a service ended, or was not ready in time.
        """
        await self._nats.start()
        print(f"nats-server    ready on 127.0.0.1:{self._settings.nats_port}", flush=True)
        ports = {
            "room_registry": self._settings.registry_port,
            "admin_api": self._settings.admin_port,
            "edge_gateway": self._settings.gateway_port,
        }
        for name, port in ports.items():
            self._services[name] = await self._spawn(name, port)
        for name, port in ports.items():
            ready = asyncio.create_task(_until_ready(port))
            if not await self._while_all_live(ready, stop, _READY_SECONDS):
                return False
            print(f"{name:<14} ready on 127.0.0.1:{port}", flush=True)
        return True

    async def wait(self, stop: asyncio.Event) -> None:
        """Wait for the user.

        Raises:
            EndedError: a service ended by itself.
        """
        await self._while_all_live(asyncio.create_task(stop.wait()), stop, None)

    async def stop(self) -> None:
        """End everything: those who need the bus before the bus."""
        for name in ("edge_gateway", "admin_api", "room_registry"):
            process = self._services.get(name)
            if process is None or process.returncode is not None:
                continue
            process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                print(f"{name} did not end in {_STOP_SECONDS:.0f} s and is killed", file=sys.stderr)
                process.kill()
                await process.wait()
        await self._nats.stop()

    async def _spawn(self, name: str, port: int) -> asyncio.subprocess.Process:
        environment = {
            "STAGEDOOR_MEDIA_HOST": "0.0.0.0",  # noqa: S104 -- browsers need an address that is not loopback; it answers authenticated STUN only
            "STAGEDOOR_MEDIA_ADVERTISE": ",".join(advertised(self._settings)),
            "STAGEDOOR_GATEWAY_NAME": "local",
            # There is no other gateway to move to.
            "STAGEDOOR_DRAIN_SECONDS": "0",
            "STAGEDOOR_SDK_DIR": str(Path(__file__).parent.parent / "sdk/web/dist"),
            **{variable: value for variable, value in os.environ.items() if variable not in _SECRETS | _OTHERS[name]},
            **{needed: self._credentials[needed] for needed in _NEEDS[name]},
            "STAGEDOOR_NATS_URL": self._nats.url,
            "STAGEDOOR_HOST": "127.0.0.1",
            "STAGEDOOR_PORT": str(port),
            "STAGEDOOR_METRICS_PORT": str(self._metrics_ports().get(name, "")),
            "STAGEDOOR_DEMO": "1",
        }
        with self._log_path(name).open("ab") as log_file:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"services.{name}",
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                # Ctrl-C is for this process, which ends the others in their order.
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _metrics_ports(self) -> dict[str, int]:
        first = self._settings.metrics_port
        return {} if first is None else {name: first + number for number, name in enumerate(("room_registry", "admin_api", "edge_gateway"))}

    async def _while_all_live(self, task: asyncio.Task[object], stop: asyncio.Event, seconds: float | None) -> bool:
        """Wait for a task; True when it is done, False when the user wants the end."""
        assert self._nats.process is not None
        living = {"nats-server": self._nats.process, **self._services}
        ends = {asyncio.create_task(process.wait(), name=name) for name, process in living.items()}
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({task, stopping, *ends}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if stopping in done:
                return False
            for ended in done & ends:
                name = ended.get_name()
                raise EndedError(f"{name} ended with exit code {ended.result()}: {_last_words(self._log_path(name))}")
            if not done:
                raise EndedError(f"not everything was ready within {_READY_SECONDS:.0f} s; the logs are in {self._settings.data_dir}")
            return True
        finally:
            for each in (task, stopping, *ends):
                each.cancel()

    def _log_path(self, name: str) -> Path:
        directory = self._settings.data_dir
        return directory / "nats" / "nats-server.log" if name == "nats-server" else directory / f"{name}.log"


def ensure_credentials(path: Path) -> dict[str, str]:
    """Read the development credentials, or make them on the first start; nobody else may read the file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {
            "STAGEDOOR_SDK_APP_ID": "1400000001",
            "STAGEDOOR_SECRET_KEY": secrets.token_hex(32),
            "STAGEDOOR_SECRET_ID": "AKID" + secrets.token_hex(16),
            "STAGEDOOR_API_SECRET_KEY": secrets.token_hex(16),
            "STAGEDOOR_NATS_TOKEN": secrets.token_hex(16),
        }
        lines = "".join(f"{name}={value}\n" for name, value in made.items())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("# Made by `stagedoor up` for this machine. Never use them elsewhere.\n" + lines)
    values = {name: os.environ.get(name) or value or "" for name, value in dotenv_values(path).items()}
    if missing := sorted(name for name in _SECRETS if not values.get(name)):
        raise ConfigurationError(f"{path} has no {missing[0]}; delete it, and the next start makes a new one")
    return values


def advertised(settings: UpSettings) -> list[str]:
    """Return the addresses that browsers are told for media: the machine's first that is not loopback, and 127.0.0.1."""
    if settings.media_advertise:
        return [settings.media_advertise]
    # Only here: the other commands do without it.
    import ifaddr  # noqa: PLC0415

    addresses = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    usable = [address for address in addresses if not address.startswith(("127.", "169.254."))]
    return [*usable[:1], "127.0.0.1"]


def _check_ports(settings: UpSettings) -> None:
    tcp = {"gateway_port": settings.gateway_port, "admin_port": settings.admin_port}
    tcp |= {"registry_port": settings.registry_port, "nats_port": settings.nats_port}
    for name, port in tcp.items():
        _check_port(name, port, socket.SOCK_STREAM, "TCP")
    _check_port("media_port", settings.media_port, socket.SOCK_DGRAM, "UDP")
    _check_port("media_port", settings.media_port, socket.SOCK_STREAM, "TCP")


def _check_port(name: str, port: int, kind: socket.SocketKind, protocol: str) -> None:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                f"{protocol} port {port} is not free ({error.strerror}): set STAGEDOOR_{name.upper()} to another one"
            ) from error


async def _until_ready(port: int) -> None:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                return bool(json.load(answer)["ready"])
        except (urllib.error.URLError, OSError, ValueError):
            return False

    while not await asyncio.to_thread(ready):  # noqa: ASYNC110 -- another process becomes ready without telling this one
        await asyncio.sleep(0.05)


def _last_words(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()[-3:]
    return " | ".join(lines)[-1000:] or "it said nothing"


def _welcome(settings: UpSettings, credentials: dict[str, str]) -> str:
    addresses = advertised(settings)
    app = credentials.get("STAGEDOOR_SDK_APP_ID", "")
    lines = [
        "",
        "Stagedoor is running.",
        f"  page         http://127.0.0.1:{settings.gateway_port}/",
        f"  admin API    http://127.0.0.1:{settings.admin_port}/",
        f"  media        UDP and TCP port {settings.media_port} on {', '.join(addresses)}",
        f"  credentials  {settings.data_dir / 'dev.env'}",
        f"  logs         {settings.data_dir}/*.log",
        "",
        "Try next: open the page in two tabs, join room 1 in both, and in another terminal",
        "  .venv/bin/stagedoor rooms",
        f"  .venv/bin/stagedoor remove --app {app} --room 1 --user USERID",
        f"  .venv/bin/stagedoor dismiss --app {app} --room 1",
        "",
        "Ctrl-C ends all of it.",
    ]
    if addresses == ["127.0.0.1"]:
        lines += [
            "",
            "This machine has no network interface but loopback. Browsers will not connect media: they gather no",
            "candidates of their own from loopback. Joining, leaving and being removed work all the same.",
        ]
    return "\n".join(lines)

"""An installation of real processes, each replaceable, with wires between it and the bus that can be cut."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from cli.nats_server import LocalNats, die_with_parent
from tests.faults.host import Host
from tests.faults.wire import Wire
from tests.support.cluster import NatsCluster
from tests.support.ports import free_port
from tests.support.processes import media_workers
from tests.support.running import until_answers

APP = 1400000001
SECRET = "the-key-that-signs"
SECRET_ID, API_SECRET = "AKIDfaults", "the-key-that-calls"
BUS_TOKEN = "bus-token"
SERVICES = {"room_registry": "registry", "edge_gateway": "edge", "admin_api": "admin"}
"""What there is, and how the processes of each are called."""
ROOT = Path(__file__).parents[2]

ISOLATION_GRACE, ISOLATION_MARGIN, RECONNECT_GRACE = 3, 2, 4
_SETTINGS = {
    "STAGEDOOR_NATS_TOKEN": BUS_TOKEN,
    "STAGEDOOR_SDK_APP_ID": str(APP),
    "STAGEDOOR_SECRET_KEY": SECRET,
    "STAGEDOOR_SECRET_ID": SECRET_ID,
    "STAGEDOOR_API_SECRET_KEY": API_SECRET,
    "STAGEDOOR_MEDIA_PORT": "0",
    "STAGEDOOR_LEASE_SECONDS": "1",
    "STAGEDOOR_ISOLATION_GRACE": str(ISOLATION_GRACE),
    "STAGEDOOR_ISOLATION_MARGIN": str(ISOLATION_MARGIN),
    "STAGEDOOR_RECONNECT_GRACE": str(RECONNECT_GRACE),
    # Whoever is sent to another gateway meanwhile goes on joining.
    "STAGEDOOR_ROOMS_SPAN_GATEWAYS": "1",
    # All clients come from one address.
    "STAGEDOOR_JOINS_PER_SECOND": "2000",
    "STAGEDOOR_FAILED_JOINS_PER_MINUTE": "100000",
}
_RESTART_SECONDS = 0.3
_MOST_STARTS = 5
"""Before it has been ready for the first time."""


class BrokenInstallationError(Exception):
    """A service does not even start."""


class Member:
    """One process of a service, started again whenever it ends, as a supervisor would.

    Args:
        name: of this process, and of a gateway.
        service: the module under ``services``, or a command that runs it.
        directory: for its log.
        wires: to the nodes of the bus; it knows no other way there.
        more: settings of its own.
        host: the network that it is in; None is that of everybody.
    """

    def __init__(self, name, service, directory, wires, more, *, host=None):
        self.name = name
        self.service = service
        self.address = host.address if host else "127.0.0.1"
        self.port = free_port()
        self.wires = wires
        self._host = host
        self.frozen = False
        self.starts = 0
        self._log = directory / f"{name}.log"
        self._environment = os.environ | _SETTINGS | more | {"STAGEDOOR_PORT": str(self.port)}
        self._environment["STAGEDOOR_NATS_URL"] = ",".join(f"nats://{wire.host}:{wire.port}" for wire in wires)
        if host:
            self._environment |= {"STAGEDOOR_HOST": host.address, "STAGEDOOR_MEDIA_HOST": host.address}
        self._environment["STAGEDOOR_GATEWAY_NAME"] = name
        self._process = None
        self._keeping = None
        self.launcher = ("-m", f"services.{service}")

    @property
    def url(self):
        """Where it listens."""
        return f"http://{self.address}:{self.port}"

    def start(self):
        """Start it, and again whenever it ends."""
        self._keeping = asyncio.create_task(self._keep())

    async def ready(self, seconds=30.0):
        """Wait until it says that it is ready."""
        await until_answers(f"{self.url}/readyz", seconds)

    def last_words(self):
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-2000:]

    def send(self, number):
        """Send it a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def replace(self, seconds):
        """End it gracefully, and have it started again; returns its exit code.

        Raises:
            TimeoutError: it took longer.
        """
        process = self._process
        process.terminate()
        async with asyncio.timeout(seconds):
            return await process.wait()

    def send_to_media(self, number):
        """Send a signal to a gateway's media workers; return their process ids."""
        workers = [] if self._process is None else media_workers(self._process.pid)
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return workers

    @contextlib.contextmanager
    def freezing(self):
        """Freeze the process while the block runs: its children, which are the media's, run on."""
        self.frozen = True
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)
            self.frozen = False

    async def cut(self):
        """Have it and the bus not hear each other; nobody tells them."""
        if self._host:
            await self._host.cut()
        for wire in () if self._host else self.wires:
            wire.hold()

    async def heal(self):
        """Undo that."""
        if self._host:
            await self._host.heal()
        for wire in self.wires:
            wire.heal()

    async def stop(self):
        """End it for good."""
        self._keeping.cancel()
        self.send(signal.SIGKILL)
        self.send(signal.SIGCONT)
        if self._process is not None:
            await self._process.wait()
        if self._host:
            await self._host.stop()

    async def _keep(self):
        while True:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *self.launcher,
                    cwd=ROOT,
                    env=self._environment,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    preexec_fn=self._host.enter if self._host else die_with_parent,
                )
            self.starts += 1
            await self._process.wait()
            await asyncio.sleep(_RESTART_SECONDS)


class Installation:
    """Two of each service on one bus.

    Args:
        directory: for the stores and the logs.
        cluster: three nats-servers and replicated streams, instead of one.
        replicas: how many there are of each service.
        hosts: each gateway is in a network of its own.
        settings: more of them, for all.
    """

    def __init__(self, directory, *, cluster, replicas=2, hosts=False, settings=None):
        self.directory = directory
        self.clustered = cluster
        self.bus = NatsCluster(directory, BUS_TOKEN) if cluster else LocalNats(directory / "nats", free_port(), BUS_TOKEN)
        self.members = {}
        self._replicas = replicas
        self._hosts = hosts
        self._settings = {"STAGEDOOR_STREAM_REPLICAS": "3" if cluster else "1"} | (settings or {})

    @property
    def nodes(self):
        """The nats-servers."""
        return self.bus.nodes if self.clustered else [self.bus]

    def all(self, service):
        """Return the members of one service."""
        return [member for member in self.members.values() if member.service == service]

    @property
    def gateways(self):
        """The gateways."""
        return self.all("edge_gateway")

    async def start(self, services=tuple(SERVICES), launchers=None):
        """Start these services, and wait until they are ready. ``launchers`` are other commands for some of them."""
        await self.bus.start()
        for service in services:
            stem = SERVICES[service]
            for number in range(1, self._replicas + 1):
                host = Host(number) if self._hosts and service == "edge_gateway" else None
                if host:
                    await host.start()
                at = host.bus_address if host else "127.0.0.1"
                wires = [Wire("127.0.0.1", int(node.url.rpartition(":")[2]), at=at) for node in self.nodes]
                for wire in wires:
                    await wire.start()
                member = Member(f"{stem}-{number}", service, self.directory, wires, self._settings, host=host)
                if launchers and service in launchers:
                    member.launcher = launchers[service]
                self.members[member.name] = member
                member.start()
        await self._begun()

    async def _begun(self):
        """Wait until everything is ready, or something ends again and again."""
        ready = asyncio.create_task(self.ready())
        while not ready.done():
            await asyncio.wait({ready}, timeout=0.2)
            for member in self.members.values():
                if member.starts > _MOST_STARTS:
                    ready.cancel()
                    raise BrokenInstallationError(f"{member.name} does not start: {member.last_words()}")
        ready.result()

    async def ready(self, seconds=60.0):
        """Wait until every member says that it is ready."""
        await asyncio.gather(*(member.ready(seconds) for member in self.members.values()))

    async def stop(self):
        """End everything."""
        await asyncio.gather(*(member.stop() for member in self.members.values()))
        for member in self.members.values():
            for wire in member.wires:
                await wire.close()
        for node in self.nodes:
            await node.stop(signal.SIGKILL)

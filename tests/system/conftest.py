"""All three services as real processes on a real nats-server: HTTP at one end, WebSocket clients at the other."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import nats
import pytest
from stagedoor_client import SignallingClient
from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.trtc.v20190722 import models, trtc_client

from cli.nats_server import LocalNats, die_with_parent
from shared.auth.apps import App
from shared.auth.usersig import sign
from tests.support.ports import free_port
from tests.support.running import until_answers
from tests.support.secured_nats import SecuredNats

APP = 1400000001
SECRET = "the-key-that-signs"
SECRET_ID, API_SECRET = "AKIDsystem", "the-key-that-calls"
ROOT = Path(__file__).parents[2]


class System:
    """The processes of one installation."""

    def __init__(self, directory, extra=None, *, secured=False):
        self.directory = directory
        self.extra = extra or {}
        self.nats = SecuredNats(directory / "nats") if secured else LocalNats(directory / "nats", token="bus-token")
        self.ports = {name: free_port() for name in ("room_registry", "admin_api", "edge_gateway")}
        self.processes = {}

    @property
    def gateway(self):
        return f"http://127.0.0.1:{self.ports['edge_gateway']}"

    @property
    def environment(self):
        return self.environment_of("operator")

    def environment_of(self, role):
        if isinstance(self.nats, SecuredNats):
            bus = self.nats.environment(role)
        else:
            bus = {"STAGEDOOR_NATS_URL": self.nats.url, "STAGEDOOR_NATS_TOKEN": "bus-token"}
        return bus | {
            "STAGEDOOR_SDK_APP_ID": str(APP),
            "STAGEDOOR_SECRET_KEY": SECRET,
            "STAGEDOOR_SECRET_ID": SECRET_ID,
            "STAGEDOOR_API_SECRET_KEY": API_SECRET,
            "STAGEDOOR_GATEWAY_NAME": "edge",
            "STAGEDOOR_MEDIA_PORT": "0",
            "STAGEDOOR_RECONNECT_GRACE": "5",
            "STAGEDOOR_ISOLATION_GRACE": "2",
            "STAGEDOOR_ISOLATION_MARGIN": "8",
            "STAGEDOOR_DRAIN_SECONDS": "1",
        }

    async def start(self, *names):
        for name in names or self.ports:
            log = (self.directory / f"{name}.log").open("ab")
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"services.{name}",
                cwd=ROOT,
                env=os.environ | self.environment_of(name) | {"STAGEDOOR_PORT": str(self.ports[name])} | self.extra.get(name, {}),
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
            log.close()
        for name in names or self.ports:
            await until_answers(f"http://127.0.0.1:{self.ports[name]}/readyz", seconds=60)

    async def end(self, name, number=signal.SIGTERM):
        process = self.processes[name]
        if process.returncode is None:
            process.send_signal(number)
        return await process.wait()

    def log(self, name):
        return (self.directory / f"{name}.log").read_text()

    @contextlib.asynccontextmanager
    async def joined(self, user, room=1, **fields):
        sig = sign(App(APP, SECRET), user, int(time.time()), 600)
        async with SignallingClient.open(self.gateway) as client:
            client.joined = await client.join(app=APP, user=user, sig=sig, room=room, **fields)
            yield client

    async def connect(self):
        """Another service's connection to the bus."""
        if isinstance(self.nats, SecuredNats):
            return await self.nats.connect("operator")
        return await nats.connect(self.nats.url, token=self.nats.token)

    async def call(self, action, **fields):
        """Call the server API as an application's back end does: with the vendor's SDK."""
        profile = ClientProfile(
            signMethod="TC3-HMAC-SHA256",
            httpProfile=HttpProfile(protocol="http", endpoint=f"127.0.0.1:{self.ports['admin_api']}", reqTimeout=15),
        )
        client = trtc_client.TrtcClient(credential.Credential(SECRET_ID, API_SECRET), "ap-guangzhou", profile)
        request = getattr(models, action + "Request")()
        request.SdkAppId = APP
        for name, value in fields.items():
            setattr(request, name, value)
        return await asyncio.to_thread(getattr(client, action), request)

    async def stagedoor(self, *arguments):
        """Run the command line; returns its exit code and what it printed."""
        process = await self._command_line(*arguments)
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    @contextlib.asynccontextmanager
    async def following(self, *arguments):
        """Run the command line until the block ends; yields what it prints."""
        process = await self._command_line(*arguments)
        try:
            yield process.stdout
        finally:
            process.kill()
            await process.communicate()

    async def _command_line(self, *arguments):
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli.main",
            *arguments,
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )


@contextlib.asynccontextmanager
async def installed(directory, extra=None, **options):
    """All of it, until the block ends."""
    installation = System(directory, extra, **options)
    await installation.nats.start()
    try:
        await installation.start()
        yield installation
    finally:
        for name in ("edge_gateway", "admin_api", "room_registry"):
            if name in installation.processes:
                await installation.end(name, signal.SIGKILL)
        await installation.nats.stop()


@pytest.fixture
def environment():
    """What a test's module tells single services beside that: by service, by variable."""
    return {}


@pytest.fixture
async def system(tmp_path, environment):
    async with installed(tmp_path, environment) as installation:
        yield installation


@pytest.fixture
async def secured_system(tmp_path):
    """The same on a nats-server that lets each part do its own work only."""
    async with installed(tmp_path, secured=True) as installation:
        yield installation

"""Everything of Stagedoor, started as a user starts it, and what an application's own server would do beside it."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from dotenv import dotenv_values
from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.trtc.v20190722 import models, trtc_client
from TLSSigAPIv2 import TLSSigAPIv2

from cli.nats_server import die_with_parent
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("stagedoor")
PORTS = ("GATEWAY", "ADMIN", "MEDIA", "REGISTRY", "NATS")
_START_SECONDS = 60


class Stagedoor:
    """One `stagedoor up` with a data directory and ports of its own."""

    grace = 3.0
    """Seconds that a session outlives a lost connection."""

    def __init__(self, directory, **settings):
        self.directory = directory
        self.settings = settings
        """Further ones, over what it would be told by itself: the variables without ``STAGEDOOR_``."""
        self.ports = {name: free_port() for name in PORTS}
        self.url = f"http://127.0.0.1:{self.ports['GATEWAY']}/"
        self.process = None
        self.expected = set()
        """Events of errors that are no surprise in its log."""

    @property
    def environment(self):
        """What `stagedoor` reads; nothing of the outer environment that begins alike comes in."""
        outer = {name: value for name, value in os.environ.items() if not name.startswith("STAGEDOOR_")}
        ports = {f"STAGEDOOR_{name}_PORT": str(port) for name, port in self.ports.items()}
        own = {"DATA_DIR": str(self.directory), "RECONNECT_GRACE": str(self.grace)} | self.settings
        return outer | ports | {f"STAGEDOOR_{name}": value for name, value in own.items()}

    async def start(self):
        """Start it and wait until it says that it runs."""
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM,
            "up",
            cwd=ROOT,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        said = ""
        async with asyncio.timeout(_START_SECONDS):
            while "Ctrl-C ends all of it." not in said:
                line = await self.process.stdout.readline()
                assert line, f"stagedoor up ended: {said}"
                said += line.decode()

    async def stop(self):
        """End it as Ctrl-C does."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        said = (await self.process.stdout.read()).decode()
        assert await self.process.wait() == 0, said

    @property
    def credentials(self):
        """The development credentials that the first start made."""
        return dotenv_values(self.directory / "dev.env")

    @property
    def app(self):
        """The SdkAppId."""
        return int(self.credentials["STAGEDOOR_SDK_APP_ID"])

    def sign(self, user, *, key=None):
        """Make a UserSig with the vendor's own generator."""
        return TLSSigAPIv2(self.app, key or self.credentials["STAGEDOOR_SECRET_KEY"]).gen_sig(user, 600)

    async def call(self, action, **fields):
        """Call an action of the server API with the vendor's SDK, as an application does. It blocks, so it runs in a thread."""
        request = getattr(models, f"{action}Request")()
        for name, value in ({"SdkAppId": self.app} | fields).items():
            setattr(request, name, value)
        return await asyncio.to_thread(getattr(self._caller(), action), request)

    async def answer(self, action, **fields):
        """Call an action, and return all of the answer: the vendor's SDK leaves out what it does not know."""
        return (await asyncio.to_thread(self._caller().call_json, action, {"SdkAppId": self.app} | fields))["Response"]

    def _caller(self):
        keys = self.credentials
        http = HttpProfile(protocol="http", endpoint=f"127.0.0.1:{self.ports['ADMIN']}", reqTimeout=20)
        return trtc_client.TrtcClient(
            credential.Credential(keys["STAGEDOOR_SECRET_ID"], keys["STAGEDOOR_API_SECRET_KEY"]),
            "ap-guangzhou",
            ClientProfile(httpProfile=http),
        )

    async def rooms(self):
        """Ask on the command line who is in which room: {room: anchors}."""
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            "rooms",
            "--json",
            cwd=ROOT,
            env=self.environment | {"STAGEDOOR_NATS_URL": f"nats://127.0.0.1:{self.ports['NATS']}"} | dict(self.credentials),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0
        rooms = [json.loads(line) for line in printed.decode().splitlines()]
        return {room["room"]: room["anchors"] for room in rooms}

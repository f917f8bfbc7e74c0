"""`stagedoor up`: one command, and nothing left of it afterwards."""

import asyncio
import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PORTS = ("GATEWAY", "ADMIN", "MEDIA", "REGISTRY", "NATS")


class Up:
    """One `stagedoor up`, with all that it prints."""

    def __init__(self, directory):
        self.directory = directory
        self.environment = {f"STAGEDOOR_{name}_PORT": str(free_port()) for name in PORTS} | {"STAGEDOOR_DATA_DIR": str(directory / "data")}
        self.process = None
        self.printed = ""

    async def start(self):
        self.printed = ""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli.main",
            "up",
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def until(self, text):
        async with asyncio.timeout(60):
            while text not in self.printed:
                line = await self.process.stdout.readline()
                assert line, self.printed
                self.printed += line.decode()

    async def ended(self):
        async with asyncio.timeout(30):
            self.printed += (await self.process.stdout.read()).decode()
            return await self.process.wait()

    def children(self):
        """Process ids and command lines of everything that it started and that still runs."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            mine = f"STAGEDOOR_DATA_DIR={self.environment['STAGEDOOR_DATA_DIR']}".encode() in environment
            if mine and int(entry.name) != self.process.pid:
                found[int(entry.name)] = command
        return found


@pytest.fixture
async def up(tmp_path):
    it = Up(tmp_path)
    yield it
    if it.process is not None and it.process.returncode is None:
        it.process.send_signal(signal.SIGTERM)
        await it.ended()


async def test_one_command_starts_everything_and_says_what_to_do_next(up):
    """Addresses, credentials that only their owner can read, three commands; Ctrl-C ends all of it."""
    await up.start()
    await up.until("Ctrl-C ends all of it.")
    assert f"http://127.0.0.1:{up.environment['STAGEDOOR_GATEWAY_PORT']}/" in up.printed
    assert f"http://127.0.0.1:{up.environment['STAGEDOOR_ADMIN_PORT']}/" in up.printed
    assert f"UDP and TCP port {up.environment['STAGEDOOR_MEDIA_PORT']}" in up.printed
    assert len(re.findall(r"^  \.venv/bin/stagedoor (?:rooms|remove|dismiss)", up.printed, re.MULTILINE)) == 3
    credentials = Path(up.environment["STAGEDOOR_DATA_DIR"]) / "dev.env"
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    for name in ("SDK_APP_ID", "SECRET_KEY", "SECRET_ID", "API_SECRET_KEY"):
        assert re.search(rf"^STAGEDOOR_{name}=.+", credentials.read_text(), re.MULTILINE)
    assert len(up.children()) == 4
    up.process.send_signal(signal.SIGINT)
    assert await up.ended() == 0
    assert up.children() == {}


async def test_a_second_start_keeps_the_credentials_and_the_history(up):
    """The stream goes on where it was."""
    await up.start()
    await up.until("Ctrl-C ends all of it.")
    credentials = (Path(up.environment["STAGEDOOR_DATA_DIR"]) / "dev.env").read_text()
    up.process.send_signal(signal.SIGINT)
    await up.ended()
    await up.start()
    await up.until("Ctrl-C ends all of it.")
    assert (Path(up.environment["STAGEDOOR_DATA_DIR"]) / "dev.env").read_text() == credentials
    epochs = re.findall(r'"epoch": (\d+)', (Path(up.environment["STAGEDOOR_DATA_DIR"]) / "room_registry.log").read_text())
    assert min(map(int, epochs[8:])) > max(map(int, epochs[:8]))


async def test_a_service_that_dies_ends_everything_and_is_named(up):
    """With a non-zero exit code, and nothing left running."""
    await up.start()
    await up.until("Ctrl-C ends all of it.")
    admin = next(pid for pid, command in up.children().items() if "admin_api" in command)
    os.kill(admin, signal.SIGKILL)
    assert await up.ended() == 1
    assert "admin_api ended" in up.printed
    assert up.children() == {}


async def test_a_port_in_use_is_named_before_anything_starts(up):
    """With the setting that moves it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(up.environment["STAGEDOOR_ADMIN_PORT"])))
        await up.start()
        assert await up.ended() == 1
    assert "STAGEDOOR_ADMIN_PORT" in up.printed
    assert up.children() == {}
    assert not Path(up.environment["STAGEDOOR_DATA_DIR"]).exists()


async def test_nothing_outlives_a_killed_start(up):
    """SIGKILL leaves no time to say goodbye; the kernel tells the children."""
    await up.start()
    await up.until("Ctrl-C ends all of it.")
    children = up.children()
    assert len(children) == 4
    up.process.kill()
    await up.process.wait()
    async with asyncio.timeout(30):
        while up.children():
            await asyncio.sleep(0.05)

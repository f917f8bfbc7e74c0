"""Debian's coturn with the configuration that is shipped, on ports of its own."""

import asyncio
import contextlib
import secrets
import shutil
import socket
import string
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from cli.nats_server import die_with_parent
from services.edge_gateway.media.stun import plain_request
from tests.support.ports import free_port

TEMPLATE = Path(__file__).parents[2] / "deploy" / "coturn" / "turnserver.conf.template"
_START_SECONDS = 20


@dataclass(frozen=True)
class Coturn:
    """A TURN server that runs."""

    host: str
    port: int
    secret: str
    log: Path

    @property
    def url(self) -> str:
        """As browsers are told."""
        return f"turn:{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def coturn(directory: Path, host: str, *gateways: str) -> AsyncIterator[Coturn]:
    """Run coturn until the block ends.

    Args:
        directory: for its files.
        host: where browsers come; only for tests it may be loopback.
        gateways: the addresses that it relays to.
    """
    program = shutil.which("turnserver")
    assert program, "these tests need coturn: make browsers installs it, or says how"
    server = Coturn(host, free_port(), secrets.token_hex(16), directory / "coturn.log")
    configuration = directory / "turnserver.conf"
    configuration.write_text(_fill_in(server, gateways))
    loopback = ["--allow-loopback-peers"] if host.startswith("127.") else []
    process = await asyncio.create_subprocess_exec(
        *(program, "-c", str(configuration), "-v"),
        *("--listening-ip", host, "--relay-ip", host, "--log-file", str(server.log), "--simple-log"),
        *("--pidfile", str(directory / "coturn.pid"), "--userdb", str(directory / "turndb"), *loopback),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _answers(server):
                assert process.returncode is None, server.log.read_text()
                await asyncio.sleep(0.05)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _fill_in(server: Coturn, gateways: tuple[str, ...]) -> str:
    text = TEMPLATE.read_text()
    # Tests have no certificate, and neither the ports nor the right to take those below 1024.
    without_tls = (line for line in text.splitlines() if not line.startswith(("tls-listening-port", "cert=", "pkey=", "listening-port")))
    filled = string.Template("\n".join(without_tls)).substitute(
        TURN_REALM="stagedoor.test",
        TURN_SECRET=server.secret,
        GATEWAY_ADDRESSES="\nallowed-peer-ip=".join(gateways),
    )
    return f"{filled}\nlistening-port={server.port}\nno-tls\nno-dtls\n"


async def _answers(server: Coturn) -> bool:
    """Ask it for our own address, as STUN: its UDP listener is the last to come up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((server.host, server.port))
        try:
            sock.send(plain_request(b"is it there?"))
            async with asyncio.timeout(0.2):
                await asyncio.get_running_loop().sock_recv(sock, 2048)
        except OSError:  # refused, or too late
            return False
    return True

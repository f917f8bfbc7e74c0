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
    tls: bool = False

    @property
    def url(self) -> str:
        """As browsers are told."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'turns' if self.tls else 'turn'}:{host}:{self.port}"


@contextlib.asynccontextmanager
async def coturn(
    directory: Path, host: str, *gateways: str, relay: str = "", certificate: tuple[Path, Path] | None = None
) -> AsyncIterator[Coturn]:
    """Run coturn until the block ends.

    Args:
        directory: for its files.
        host: where browsers come; only for tests it may be loopback.
        gateways: the addresses that it relays to.
        relay: the address that it relays from, where that is another.
        certificate: with it and its key, it speaks TLS.
    """
    program = shutil.which("turnserver")
    assert program, "these tests need coturn: make browsers installs it, or says how"
    server = Coturn(host, free_port(), secrets.token_hex(16), directory / "coturn.log", tls=certificate is not None)
    configuration = directory / "turnserver.conf"
    configuration.write_text(_fill_in(server, gateways, certificate))
    loopback = ["--allow-loopback-peers"] if host.startswith("127.") else []
    process = await asyncio.create_subprocess_exec(
        *(program, "-c", str(configuration), "-v"),
        *("--listening-ip", host, "--relay-ip", relay or host, "--log-file", str(server.log), "--simple-log"),
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


def _fill_in(server: Coturn, gateways: tuple[str, ...], certificate: tuple[Path, Path] | None) -> str:
    # Tests have neither the ports nor the right to take those below 1024, and seldom a certificate.
    left_out = ["tls-listening-port", "listening-port"] + ([] if certificate else ["cert=", "pkey="])
    kept = [line for line in TEMPLATE.read_text().splitlines() if not line.startswith(tuple(left_out))]
    public, private = certificate or ("", "")
    filled = string.Template("\n".join(kept)).substitute(
        TURN_CERTIFICATE=public,
        TURN_PRIVATE_KEY=private,
        TURN_REALM="stagedoor.test",
        TURN_SECRET=server.secret,
        GATEWAY_ADDRESSES="\nallowed-peer-ip=".join(gateways),
    )
    if certificate:
        return f"{filled}\nlistening-port={free_port()}\ntls-listening-port={server.port}\n"
    return f"{filled}\nlistening-port={server.port}\nno-tls\nno-dtls\n"


async def _answers(server: Coturn) -> bool:
    """Ask it for our own address, as STUN: its UDP listener is the last to come up. With TLS that one speaks DTLS: knock at TCP."""
    if server.tls:
        with socket.socket() as sock:
            return sock.connect_ex((server.host, server.port)) == 0
    with socket.socket(socket.AF_INET6 if ":" in server.host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((server.host, server.port))
        try:
            sock.send(plain_request(b"is it there?"))
            async with asyncio.timeout(0.2):
                await asyncio.get_running_loop().sock_recv(sock, 2048)
        except OSError:  # refused, or too late
            return False
    return True

"""Which addresses browsers are told: those that are set, and what a STUN server sees us as, where we are to find out."""

import asyncio
import ipaddress
import secrets
import socket

import structlog

from services.edge_gateway.media.settings import AUTO, MediaSettings
from services.edge_gateway.media.stun import MalformedStunError, mapped_address, plain_request
from shared.contracts.errors import ConfigurationError

log = structlog.get_logger()

_RETRANSMISSIONS = (0.5, 1.0, 2.0, 2.0)
"""Seconds that each request is given (RFC 8489, 6.2.1 doubles them; we give up earlier, because a start waits)."""
_TRANSACTION_BYTES = 12


async def candidates(settings: MediaSettings) -> tuple[str, ...]:
    """Return the addresses of the host candidates, best first.

    Raises:
        ConfigurationError: the STUN server told no address.
    """
    if AUTO not in settings.advertise:
        return settings.advertise or settings.hosts
    found = await _own_addresses(settings)
    listed = [address for entry in settings.advertise for address in (found if entry == AUTO else (entry,))]
    return tuple(dict.fromkeys(listed))


async def _own_addresses(settings: MediaSettings) -> list[str]:
    """Ask from each address that we listen on: the answer is of its IP version. One that has none is left out, loudly."""
    found, failures = [], []
    for host in settings.hosts:
        try:
            found.append(await ask(settings.stun_server, host))
        except ConfigurationError as error:
            failures.append(str(error))
    if not found:
        raise ConfigurationError("; ".join(failures))
    for reason in failures:
        log.warning("media_address_not_found", reason=reason)
    return found


async def ask(server: str, host: str) -> str:
    """Ask a STUN server what address we come from.

    Args:
        server: ``host:port``.
        host: the own address to ask from; its IP version is asked for.

    Raises:
        ConfigurationError: no answer, or one that cannot be an address of ours; the text names the server.
    """
    name, _, port = server.rpartition(":")
    version = ipaddress.ip_address(host).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.bind((host, 0))
            found = await loop.getaddrinfo(name.strip("[]"), int(port), family=family, type=socket.SOCK_DGRAM)
            # Connected: the kernel drops what comes from elsewhere.
            await loop.sock_connect(sock, found[0][4])
            address = await _exchange(loop, sock)
        except OSError as error:
            raise ConfigurationError(f"the STUN server {server} cannot be asked from {host}: {error.strerror or error}") from error
    if address is None:
        raise ConfigurationError(f"the STUN server {server} did not answer {host} within {sum(_RETRANSMISSIONS):g} s")
    told = ipaddress.ip_address(address)
    if told.version != version or told.is_unspecified or told.is_multicast:
        raise ConfigurationError(f"the STUN server {server} told {host} that it is {address}, which cannot be")
    return address


async def _exchange(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> str | None:
    transaction = secrets.token_bytes(_TRANSACTION_BYTES)
    for seconds in _RETRANSMISSIONS:
        await loop.sock_sendall(sock, plain_request(transaction))
        try:
            async with asyncio.timeout(seconds):
                return await _answer(loop, sock, transaction)
        except TimeoutError:
            continue
    return None


async def _answer(loop: asyncio.AbstractEventLoop, sock: socket.socket, transaction: bytes) -> str:
    while True:
        datagram = await loop.sock_recv(sock, 2048)
        try:
            return mapped_address(datagram, transaction)
        except MalformedStunError as error:
            log.warning("media_stun_answer_ignored", reason=str(error))

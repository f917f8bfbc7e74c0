"""The sockets that media comes in at: the same port number everywhere, UDP, and TCP where it is wanted."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shared.contracts.errors import ConfigurationError

_SOCKET_BUFFER = 4 * 1024 * 1024
_ATTEMPTS = 16
"""A port that the kernel has chosen for one socket may be taken for another."""


@dataclass(slots=True)
class Sockets:
    """Bound, not blocking, not listening yet; in the order of the hosts."""

    udp: list[socket.socket] = field(default_factory=list)
    tcp: list[socket.socket] = field(default_factory=list)

    def close(self) -> None:
        """Free the port."""
        for sock in (*self.udp, *self.tcp):
            sock.close()


def bind(hosts: Sequence[str], port: int, *, tcp: bool) -> Sockets:
    """Open all sockets.

    Args:
        hosts: IP addresses; IPv6 ones take no IPv4.
        port: 0 takes one that is free for all.
        tcp: whether TCP is wanted, too.

    Raises:
        ConfigurationError: an address or the port cannot be had.
    """
    for _ in range(0 if port else _ATTEMPTS):
        with contextlib.suppress(ConfigurationError):
            return _bind(hosts, 0, tcp=tcp)
    return _bind(hosts, port, tcp=tcp)


def _bind(hosts: Sequence[str], port: int, *, tcp: bool) -> Sockets:
    sockets = Sockets()
    try:
        for kind, opened in _wanted(sockets, tcp=tcp):
            for host in hosts:
                opened.append(_open(kind, host, port))
                port = int(opened[-1].getsockname()[1])
    except BaseException:
        sockets.close()
        raise
    return sockets


def _wanted(sockets: Sockets, *, tcp: bool) -> Iterator[tuple[socket.SocketKind, list[socket.socket]]]:
    yield socket.SOCK_DGRAM, sockets.udp
    if tcp:
        yield socket.SOCK_STREAM, sockets.tcp


def _open(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    is_v6 = ":" in host
    sock = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        if is_v6:
            # Each version has a socket of its own, so that both may have every interface.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        name = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        raise ConfigurationError(f"media cannot use {name} {host} port {port}: {error.strerror}; choose another host or port") from error
    return sock

"""One UDP socket for everybody: tells the protocols apart and finds whom a datagram is from (RFC 7983)."""

import asyncio
import contextlib
import socket
import time
from typing import Protocol

from services.edge_gateway.media.ice import Address, IceLite
from services.edge_gateway.media.srtp import MAX_DATAGRAM, Buffer
from shared.contracts.errors import ConfigurationError

_BATCH = 64
"""Datagrams taken in one turn of the event loop, so that signalling gets its turn under any load."""
_SOCKET_BUFFER = 4 * 1024 * 1024
_SILENT = 15.0
"""Seconds without a connectivity check after which an address may become another's; browsers check every 2 to 5 s."""


class Route(Protocol):
    """Whom an address belongs to."""

    heard: float
    """When its last authentic connectivity check came, in monotonic seconds."""

    def on_dtls(self, datagram: bytes) -> None:
        """Take a DTLS datagram."""
        ...

    def on_srtp(self, buffer: Buffer, length: int, now: float) -> None:
        """Take an SRTP or SRTCP packet; the buffer is the callee's until it returns."""
        ...


class UdpMux:
    """Receives and sends all media.

    Args:
        sock: bound and not blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.ice = IceLite()
        self.out = Buffer()
        """Where packets are put together before they are sent."""
        self._socket = sock
        self._in = Buffer()
        self._receiving = self._in.view[:MAX_DATAGRAM]
        self._routes: dict[Address, Route] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline = float("-inf")

    @property
    def port(self) -> int:
        """The UDP port."""
        return int(self._socket.getsockname()[1])

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to receive."""
        self._loop = loop
        loop.add_reader(self._socket.fileno(), self._drain)

    def allow_until(self, deadline: float) -> None:
        """Let media through until that monotonic time, in both directions."""
        self._deadline = deadline

    @property
    def may_forward(self) -> bool:
        """Whether media may pass now. By the clock, not by a timer: a process that was frozen has missed its timers."""
        return time.monotonic() < self._deadline

    def claim(self, address: Address, route: Route, now: float) -> bool:
        """Take datagrams from an address to be a route's.

        Returns:
            False: it is another's who is alive. Without that, any client could silence another by forging its address.
        """
        holder = self._routes.get(address)
        if holder is not None and holder is not route and holder.heard > now - _SILENT:
            return False
        self._routes[address] = route
        return True

    def release(self, address: Address, route: Route) -> None:
        """Undo :meth:`claim`, if it still holds."""
        if self._routes.get(address) is route:
            del self._routes[address]

    def send(self, data: bytes | memoryview, address: Address) -> None:
        """Send a datagram, or lose it: media waits for nobody."""
        with contextlib.suppress(OSError):
            self._socket.sendto(data, address)

    def close(self) -> None:
        """Free the port."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._routes.clear()

    def _drain(self) -> None:
        now = time.monotonic()
        view, receive, routes = self._receiving, self._socket.recvfrom_into, self._routes
        for _ in range(_BATCH):
            try:
                length, address = receive(view)
            except OSError:  # nothing more, or an ICMP error of an earlier send
                return
            if not length:
                continue
            first = view[0]
            if first >= 128:
                if first < 192 and (route := routes.get(address)) is not None and self.may_forward:
                    route.on_srtp(self._in, length, now)
            elif first < 4:
                response = self.ice.check(bytes(view[:length]), address, now)
                if response is not None:
                    self.send(response, address)
            elif 20 <= first < 64 and (route := routes.get(address)) is not None:
                route.on_dtls(bytes(view[:length]))


def bind(host: str, port: int) -> socket.socket:
    """Open the media socket.

    Raises:
        ConfigurationError: the address or the port cannot be had.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConfigurationError(f"media cannot use UDP {host} port {port}: {error.strerror}; choose another host or port") from error
    return sock

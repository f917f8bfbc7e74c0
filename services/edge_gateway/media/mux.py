"""One UDP port for everybody: tells the protocols apart and finds whom a datagram is from (RFC 7983)."""

import asyncio
import socket
import time
from collections.abc import Callable
from socket import AF_INET, AF_INET6
from typing import Protocol

import structlog

from services.edge_gateway.media.forwarding import UNLIMITED, Allowance, Link, Losses
from services.edge_gateway.media.ice import Address, IceLite, SocketAddress
from services.edge_gateway.media.measures import FORWARDING_SECONDS, Histogram
from services.edge_gateway.media.srtp import MAX_DATAGRAM, Buffer
from services.edge_gateway.media.streams import PlainLink
from services.edge_gateway.media.tcp import TcpConnection

log = structlog.get_logger()

_IPV4_LENGTH = 2
"""Of an address as the socket gives it."""
BATCH = 64
"""Datagrams taken in one turn of the event loop, so that signalling gets its turn under any load."""
_SILENT = 15.0
"""Seconds without a connectivity check after which an address may become another's; browsers check every 2 to 5 s."""


class Route(Protocol):
    """Whom an address belongs to."""

    link: Link
    """What is sent to it."""
    heard: float
    """When its last authentic connectivity check came, in monotonic seconds."""

    def on_dtls(self, datagram: bytes) -> None:
        """Take a DTLS datagram."""
        ...

    def on_srtp(self, buffer: Buffer, length: int, now: float) -> None:
        """Take an SRTP or SRTCP packet; the buffer is the callee's until it returns."""
        ...


class UdpMux:
    """Receives and sends all media: the engine in Python.

    Args:
        sockets: bound and not blocking; at most one of each IP version.
        clock: tells monotonic seconds.
        allowance: of each client.
    """

    name = "python"
    """Of the engine."""

    def __init__(self, *sockets: socket.socket, clock: Callable[[], float] = time.monotonic, allowance: Allowance = UNLIMITED) -> None:
        self.ice = IceLite()
        self.allowance = allowance
        self.out = Buffer()
        """Where packets are put together before they are sent."""
        self._sockets = {sock.family: sock for sock in sockets}
        self._clock = clock
        self._in = Buffer()
        self._losses = Losses()
        self._forwarding = Histogram.over(FORWARDING_SECONDS)
        self._received_at = 0.0
        self._routes: dict[Address, Route] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline = float("-inf")

    @property
    def port(self) -> int:
        """The UDP port."""
        return int(next(iter(self._sockets.values())).getsockname()[1])

    @property
    def losses(self) -> Losses:
        """What was lost here so far."""
        return self._losses

    @property
    def forwarding(self) -> Histogram:
        """How long packets took that went to somebody, from when they were read from the socket until the last one was sent."""
        return self._forwarding

    def forwarded(self) -> None:
        """Measure how long the packet took that was received last."""
        self._forwarding.observe(FORWARDING_SECONDS, self._clock() - self._received_at)

    def link(self) -> Link:
        """Make the way to one more client."""
        return PlainLink(self)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to receive."""
        self._loop = loop
        for sock in self._sockets.values():
            loop.add_reader(sock.fileno(), self._drain, sock)

    def allow_until(self, deadline: float) -> None:
        """Let media through until that monotonic time, in both directions."""
        self._deadline = deadline

    @property
    def may_forward(self) -> bool:
        """Whether media may pass now. By the clock, not by a timer: a process that was frozen has missed its timers."""
        return self._clock() < self._deadline

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
        if isinstance(address, TcpConnection):
            address.send(data)
            return
        try:
            self._socket_to(address).sendto(data, address)
        except OSError:
            self._losses.not_sent += 1

    def _socket_to(self, address: SocketAddress) -> socket.socket:
        return self._sockets[AF_INET if len(address) == _IPV4_LENGTH else AF_INET6]

    def drop_unsent(self, address: Address) -> None:
        """See to it that nothing leaves any more that was sent there before; what UDP was given has left."""
        if isinstance(address, TcpConnection):
            address.drop_unsent()

    def hang_up(self, address: Address) -> None:
        """End the connection, if the address is one."""
        if isinstance(address, TcpConnection):
            address.close()

    def receive(self, datagram: memoryview, source: TcpConnection, now: float) -> None:
        """See :class:`~services.edge_gateway.media.tcp.Receiver`."""
        self._received_at = self._clock()
        self._in.view[: len(datagram)] = datagram
        self._take(self._in, len(datagram), source, now)

    def heard(self, source: TcpConnection) -> float | None:
        """See :class:`~services.edge_gateway.media.tcp.Receiver`."""
        route = self._routes.get(source)
        return None if route is None else route.heard

    def close(self) -> None:
        """Free the port."""
        for sock in self._sockets.values():
            if self._loop is not None:
                self._loop.remove_reader(sock.fileno())
            sock.close()
        self._routes.clear()

    def _drain(self, sock: socket.socket) -> None:
        now = self._received_at = self._clock()
        # One byte more than may come tells what was cut off.
        view, receive = self._in.view[: MAX_DATAGRAM + 1], sock.recvfrom_into
        for _ in range(BATCH):
            try:
                length, address = receive(view)
            except OSError:  # nothing more, or an ICMP error of an earlier send
                return
            if length > MAX_DATAGRAM:
                self._losses.too_long += 1
            else:
                self._take(self._in, length, address, now)

    def _take(self, buffer: Buffer, length: int, address: Address, now: float) -> None:
        """Take one datagram; the buffer is the caller's again afterwards."""
        try:
            self._hand_on(buffer, length, address, now)
        except Exception:  # the next datagram may be anybody's
            log.exception("media_datagram_lost")

    def _hand_on(self, buffer: Buffer, length: int, address: Address, now: float) -> None:
        if not length:
            return
        view = buffer.view
        first = view[0]
        if first >= 128:
            if first < 192 and (route := self._routes.get(address)) is not None and self.may_forward:
                route.on_srtp(buffer, length, now)
        elif first < 4:
            response = self.ice.check(bytes(view[:length]), address, now)
            if response is not None:
                self.send(response, address)
        elif 20 <= first < 64 and (route := self._routes.get(address)) is not None:
            route.on_dtls(bytes(view[:length]))

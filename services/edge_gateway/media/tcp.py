"""ICE-TCP, passive: media over a connection that the client opens, where UDP is blocked (RFC 6544, RFC 4571).

To the rest of the engine a connection is an address like any other: checks come from it, packets are sent to it, and it
is whose check was authentic. TCP waits for whoever reads slowly, and media must not: a connection that falls behind is
reset, the browser opens another, and its next check leads there.
"""

import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections import Counter
from typing import Protocol, cast

import structlog

from services.edge_gateway.media.srtp import MAX_DATAGRAM
from shared.rates import network_of

log = structlog.get_logger()

_LENGTH = struct.Struct("!H")
_MEMORY = 8192
"""Bytes that one connection is read in a turn of the event loop; a frame has at most ``MAX_DATAGRAM``."""
_MAX_UNSENT = 256 * 1024
"""Bytes that wait in this process for a slow reader; beyond it he is cut."""
_SEND_BUFFER = 256 * 1024
"""And in the kernel, which doubles it for its own needs."""
_STALLED = 5.0
"""Seconds without any progress after which the kernel cuts a connection that has something to send (RFC 5482)."""
_UNUSED = 10.0
"""Seconds that a connection lives which no peer connection uses: browsers open one beside UDP, and drop it."""
_SILENT = 30.0
"""Seconds without an authentic check after which one in use is closed (RFC 7675, 5.1)."""
_TICK = 1.0
_THROW_AWAY, _SEND_ALL = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""What the kernel does with what it has when a connection ends: values of SO_LINGER."""


class Receiver(Protocol):
    """Gets what arrives."""

    @property
    def may_forward(self) -> bool:
        """Whether media may pass now."""
        ...

    def receive(self, datagram: memoryview, source: "TcpConnection", now: float) -> None:
        """Take one frame; the memory is the connection's again when this returns."""
        ...

    def heard(self, source: "TcpConnection") -> float | None:
        """Say when the last authentic check came from who uses a connection, in monotonic seconds; None: nobody does."""
        ...


class TcpConnection(asyncio.BufferedProtocol):
    """One connection, from its acceptance to its end."""

    def __init__(self, listener: "TcpListener") -> None:
        self.host = ""
        """The client's address."""
        self.port = 0
        self.used_at = time.monotonic()
        """When it was opened, or last found in use."""
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._memory = bytearray(_MEMORY)
        self._filled = 0

    def send(self, data: bytes | memoryview) -> None:
        """Send a datagram, or lose it: to who is gone, or reads too slowly and is cut for it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > _MAX_UNSENT:
            log.info("media_tcp_too_slow", unsent=transport.get_write_buffer_size())
            self.reset()
            return
        transport.write(b"".join((_LENGTH.pack(len(data)), data)))

    def drop_unsent(self) -> None:
        """See to it that nothing that was sent before leaves any more: where the client has not taken all of it, reset."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        unacknowledged = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, b"\0" * 4)
        if transport.get_write_buffer_size() or any(unacknowledged):
            self.reset()

    def close(self) -> None:
        """End it, when all is sent."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _SEND_ALL)
            self._transport.close()

    def reset(self) -> None:
        """End it, and throw away what waits, in this process and in the kernel."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop: begin, if there is room."""
        # uvloop's has the same methods, and is no subclass.
        self._transport = cast("asyncio.Transport", transport)
        self.host, self.port = (transport.get_extra_info("peername") or ("", 0))[:2]
        connected = transport.get_extra_info("socket")
        # From the beginning: the kernel closes the sockets of a process that is killed, and nothing may leave after that either.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _THROW_AWAY)
        if not self._listener.admit(self):
            self.reset()
            return
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_STALLED * 1000))

    def connection_lost(self, _error: Exception | None) -> None:
        """Called by the loop: it is over."""
        self._transport = None
        self._memory = bytearray()
        self._listener.forget(self)

    def get_buffer(self, _size: int) -> memoryview:
        """Called by the loop: give it memory to read into. There always is some, for a whole frame is taken out at once."""
        return memoryview(self._memory)[self._filled :]

    def buffer_updated(self, count: int) -> None:
        """Called by the loop: take out the frames that have arrived whole. Who announces one that is too long is cut."""
        self._filled += count
        now = time.monotonic()
        at = 0
        with memoryview(self._memory)[: self._filled] as view:
            while self._filled - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(view, at)
                if length > MAX_DATAGRAM:
                    self.reset()
                    return
                start, end = at + _LENGTH.size, at + _LENGTH.size + length
                if end > self._filled or self._transport is None or self._transport.is_closing():
                    break
                self._listener.receiver.receive(view[start:end], self, now)
                at = end
        self._memory[: self._filled - at] = self._memory[at : self._filled]
        self._filled -= at


class TcpListener:
    """All connections, and how many there may be.

    Args:
        receiver: gets what arrives.
        limit: connections at a time.
        per_address: of one IPv4 address, or one /64 of IPv6.
    """

    def __init__(self, receiver: Receiver, limit: int, per_address: int) -> None:
        self.receiver = receiver
        self._limit = limit
        self._per_address = per_address
        self._connections: dict[TcpConnection, str] = {}  # the oldest first
        self._of_address: Counter[str] = Counter()
        self._refused = 0
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, *sockets: socket.socket) -> None:
        """Accept connections at these sockets, which are bound."""
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(lambda: TcpConnection(self), sock=sock) for sock in sockets]
        self._timer = loop.call_later(_TICK, self._tick)

    @property
    def count(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def admit(self, connection: TcpConnection) -> bool:
        """Count a new connection in. Where there is no room it takes the place of the oldest that nobody uses, if any is."""
        address = network_of(connection.host)
        others = [other for other, of in self._connections.items() if of == address] if self._is_full(address) else []
        crowd = others or (list(self._connections) if len(self._connections) >= self._limit else [])
        if crowd:
            unused = next((other for other in crowd if self.receiver.heard(other) is None), None)
            if unused is None:
                self._refused += 1
                return False
            unused.reset()
            self.forget(unused)
        self._connections[connection] = address
        self._of_address[address] += 1
        return True

    def forget(self, connection: TcpConnection) -> None:
        """Count a connection out; harmless twice."""
        address = self._connections.pop(connection, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def close(self) -> None:
        """End all of it."""
        if self._timer is not None:
            self._timer.cancel()
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.close()

    def _is_full(self, address: str) -> bool:
        return self._of_address[address] >= self._per_address

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)
        now = time.monotonic()
        may_forward = self.receiver.may_forward
        for connection in list(self._connections):
            if not may_forward:
                # What was sent in time and has not left is too late.
                connection.drop_unsent()
            heard = self.receiver.heard(connection)
            if heard is not None:
                connection.used_at = now
            if now - (connection.used_at if heard is None else heard) > (_UNUSED if heard is None else _SILENT):
                connection.reset()
        if self._refused:
            log.warning("media_tcp_refused", connections=self._refused, open=len(self._connections))
            self._refused = 0

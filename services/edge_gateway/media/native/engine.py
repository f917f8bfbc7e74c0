"""The native engine, as the rest of the package sees it: the same links and streams, with C structures for records."""

import secrets
import socket
import struct
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from services.edge_gateway.media.forwarding import UNLIMITED, Allowance, Counts, Link, Losses, ReceiveStream, SendStream
from services.edge_gateway.media.ice import Address, SocketAddress
from services.edge_gateway.media.measures import FORWARDING_SECONDS, Histogram
from services.edge_gateway.media.mux import Route, UdpMux
from services.edge_gateway.media.native._forwarding import ffi, lib
from services.edge_gateway.media.rtp import Packet
from services.edge_gateway.media.srtp import Buffer, SrtpContext, functions
from services.edge_gateway.media.streams import PlainLink

_VERSION = 3
"""Of ``forwarding.h``; a module that was compiled from another one may take one field for another."""
_IPV4 = struct.Struct("=H2s4s8x")
_IPV6 = struct.Struct("=H2s4x16sI")

if lib.SD_VERSION != _VERSION:
    raise ImportError(f"the native engine was built from version {lib.SD_VERSION} of its source, this is {_VERSION}: install again")

# A C pointer keeps nothing alive: the link of a send stream lives as long as the stream's record does.
_links: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _made(pointer: Any) -> Any:
    if pointer == ffi.NULL:
        raise MemoryError
    return pointer


def _pack(address: SocketAddress) -> bytes:
    """Write an address as C's ``struct sockaddr``."""
    port = address[1].to_bytes(2, "big")
    if len(address) == 2:
        return _IPV4.pack(socket.AF_INET, port, socket.inet_pton(socket.AF_INET, address[0]))
    return _IPV6.pack(socket.AF_INET6, port, socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0]), address[3])


def _unpack(data: bytes) -> SocketAddress:
    """Read C's ``struct sockaddr``; what the socket module would give."""
    if len(data) == _IPV4.size:
        _, port, packed = _IPV4.unpack(data)
        return socket.inet_ntop(socket.AF_INET, packed), int.from_bytes(port, "big")
    _, port, packed, scope = _IPV6.unpack(data)
    host = socket.inet_ntop(socket.AF_INET6, packed)
    if scope:
        host = f"{host}%{socket.if_indextoname(scope)}"
    return host, int.from_bytes(port, "big"), 0, scope


class NativeReceiveStream:
    """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`.

    Args:
        mux: the engine.
        record: the C stream.
    """

    def __init__(self, mux: "NativeMux", record: Any) -> None:
        self._mux = mux
        self._record = record
        self.counts: Counts = record.counts
        self._streams: dict[SendStream, None] = {}

    def add(self, stream: SendStream) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        if not lib.sd_stream_add(self._record, stream):
            raise MemoryError
        self._streams[stream] = None

    def remove(self, stream: SendStream) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        lib.sd_stream_remove(self._record, stream)
        self._streams.pop(stream, None)

    def forward(self, packet: Packet) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        data = ffi.from_buffer("uint8_t[]", packet.extensions + packet.payload)
        given = ffi.new("sd_packet *")
        given.sequence, given.timestamp, given.marker = packet.sequence, packet.timestamp, packet.marker
        given.extensions_length, given.payload_length, given.bytes = len(packet.extensions), len(packet.payload), data
        self._mux.forward_one(self._record, given)

    def find(self, sequence: int) -> Packet | None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        found = ffi.new("sd_packet *")
        if not lib.sd_stream_find(self._record, sequence, found):
            return None
        data = ffi.buffer(found.bytes, found.extensions_length + found.payload_length)[:]
        return Packet(
            marker=found.marker,
            payload_type=self._record.payload_type,
            sequence=found.sequence,
            timestamp=found.timestamp,
            ssrc=self._record.ssrc,
            payload=data[found.extensions_length :],
            extensions=data[: found.extensions_length],
        )

    def close(self) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        lib.sd_stream_close(self._record)
        self._streams.clear()


class NativeLink(PlainLink):
    """A link that the C engine knows too. What it is seldom asked for, RTCP and repairs, it does as every link does."""

    __slots__ = ("_mux", "bound", "number", "record")

    def __init__(self, mux: "NativeMux", record: Any, number: int) -> None:
        super().__init__(mux)
        self._mux = mux
        self.record = record
        self.number = number
        """Not 0, and no other's."""
        self.bound: Address | None = None
        """What the C engine finds it by."""

    @property
    def too_fast(self) -> int:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        return int(lib.sd_link_too_fast(self.record))

    def admit(self, length: int, now: float) -> bool:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        return bool(lib.sd_link_admit(self.record, length, now))

    def move(self, address: Address | None) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        super().move(address)
        self._mux.place(self, address)

    def open(self, receive: SrtpContext, transmit: SrtpContext) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        super().open(receive, transmit)
        lib.sd_link_open(self.record, *(ffi.cast("void *", context.address) for context in (receive, transmit)))

    def close(self) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        # First of all: the keys go with the last reference to them.
        lib.sd_link_open(self.record, ffi.NULL, ffi.NULL)
        super().close()

    def receive_stream(
        self, ssrc: int, payload_type: int, clock_rate: int, extension_ids: Mapping[int, int], *, keep: bool
    ) -> ReceiveStream:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        record = ffi.gc(_made(lib.sd_stream_new(self.record, keep)), lib.sd_stream_free)
        record.ssrc, record.payload_type, record.clock_rate = ssrc, payload_type, clock_rate
        for theirs, ours in extension_ids.items():
            record.extension_ids[theirs] = ours
        return NativeReceiveStream(self._mux, record)

    def send_stream(self, ssrc: int, payload_type: int) -> SendStream:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        stream: SendStream = ffi.new("sd_send_stream *")
        stream.link, stream.ssrc, stream.payload_type = self.record, ssrc, payload_type
        _links[stream] = self.record
        return stream


class NativeMux(UdpMux):
    """The socket with the C engine behind it; it gets to see only what the C engine leaves.

    Args:
        sockets: bound and not blocking; at most one of each IP version.
        clock: tells monotonic seconds.
        allowance: of each client.
    """

    name = "native"

    def __init__(self, *sockets: socket.socket, clock: Callable[[], float] = time.monotonic, allowance: Allowance = UNLIMITED) -> None:
        super().__init__(*sockets, clock=clock, allowance=allowance)
        pointers = (ffi.cast("sd_srtp", address) for address in functions())
        self._engine = ffi.gc(_made(lib.sd_engine_new(*pointers, secrets.randbits(64))), lib.sd_engine_free)
        self._state = lib.sd_engine_state(self._engine)
        self._state.offload = all(lib.sd_has_offload(sock.fileno()) for sock in sockets)
        self._state.latency_bounds = FORWARDING_SECONDS
        self._slots = [Buffer(int(ffi.cast("uintptr_t", lib.sd_slot(self._engine, index)))) for index in range(lib.SD_BATCH)]
        self._length = ffi.new("uint32_t *")
        self._number = ffi.new("uint64_t *")
        self._links = count(1)
        self._diverted: dict[int, Address] = {}

    @property
    def offload(self) -> bool:
        """Whether the kernel cuts one long message into datagrams."""
        return bool(self._state.offload)

    @property
    def losses(self) -> Losses:
        """See :class:`~services.edge_gateway.media.mux.UdpMux`."""
        python = super().losses
        return Losses(
            too_long=python.too_long + self._state.too_long,
            not_sent=python.not_sent + self._state.not_sent + self._state.too_late,
            too_fast=self._state.too_fast,
        )

    @property
    def forwarding(self) -> Histogram:
        """See :class:`~services.edge_gateway.media.mux.UdpMux`."""
        both = Histogram(list(self._state.latencies), self._state.latency_total)
        both.add(super().forwarding)
        return both

    def link(self) -> Link:
        """See :class:`~services.edge_gateway.media.mux.UdpMux`."""
        record = ffi.gc(_made(lib.sd_link_new(self._engine)), lib.sd_link_free)
        lib.sd_link_limit(record, self.allowance.packet_seconds, self.allowance.octet_seconds)
        return NativeLink(self, record, next(self._links))

    def place(self, link: NativeLink, address: Address | None) -> None:
        """Have the C engine send a link's packets there, or hand them over sealed where it has no socket for that."""
        self._diverted.pop(link.number, None)
        if address is None:
            lib.sd_link_move(link.record, -1, b"", 0)
        elif isinstance(address, tuple):
            packed = _pack(address)
            lib.sd_link_move(link.record, self._socket_to(address).fileno(), packed, len(packed))
        else:
            self._diverted[link.number] = address
            lib.sd_link_divert(link.record, link.number)

    def forward_one(self, stream: Any, packet: Any) -> None:
        """Keep a packet in a C stream, and send it to all of the stream."""
        lib.sd_forward_one(self._engine, stream, packet)
        if self._state.diverted:
            self._send_diverted()

    def _send_diverted(self) -> None:
        for index in range(self._state.diverted):
            packet = lib.sd_diverted(self._engine, index, self._number, self._length)
            address = self._diverted.get(self._number[0])
            if address is not None and self.may_forward:
                self.send(ffi.buffer(packet, self._length[0])[:], address)
        self._state.diverted = 0

    def allow_until(self, deadline: float) -> None:
        """See :class:`~services.edge_gateway.media.mux.UdpMux`."""
        super().allow_until(deadline)
        self._state.deadline = self._deadline

    def claim(self, address: Address, route: Route, now: float) -> bool:
        """See :class:`~services.edge_gateway.media.mux.UdpMux`."""
        before = self._routes.get(address)
        if not super().claim(address, route, now):
            return False
        if before is not None and before is not route:
            self._unbind(before.link, address)
        link = route.link
        assert isinstance(link, NativeLink)
        if link.bound is not None:
            self._unbind(link, link.bound)
        if isinstance(address, tuple):
            packed = _pack(address)
            lib.sd_link_bind(link.record, packed, len(packed))
            link.bound = address
        return True

    def release(self, address: Address, route: Route) -> None:
        """See :class:`~services.edge_gateway.media.mux.UdpMux`."""
        super().release(address, route)
        self._unbind(route.link, address)

    @staticmethod
    def _unbind(link: Link, address: Address) -> None:
        assert isinstance(link, NativeLink)
        if link.bound == address:
            lib.sd_link_unbind(link.record)
            link.bound = None

    def close(self) -> None:
        """See :class:`~services.edge_gateway.media.mux.UdpMux`."""
        # The number of the socket may become another file's, so nothing is sent to it from here on.
        self._deadline = self._state.deadline = float("-inf")
        super().close()

    def _drain(self, sock: socket.socket) -> None:
        now = self._received_at = self._clock()
        engine = self._engine
        received = lib.sd_receive(engine, sock.fileno())
        at = self._forward(0, now)
        while at < received:
            self._take(self._slots[at], lib.sd_length(engine, at), self._sender(at), now)
            at = self._forward(at + 1, now)

    def _forward(self, start: int, now: float) -> int:
        """Forward what can be, from a place in the batch on; return the place of what cannot."""
        at: int = lib.sd_forward(self._engine, start, now)
        if self._state.diverted:
            self._send_diverted()
        return at

    def _sender(self, index: int) -> Address:
        address = lib.sd_sender(self._engine, index, self._length)
        return _unpack(ffi.buffer(address, self._length[0])[:])

"""The engine in Python: links and streams, forwarded packet by packet."""

from collections.abc import Mapping
from typing import Protocol

from services.edge_gateway.media.forwarding import Allowance, Link, Losses, ReceiveStream, SendStream
from services.edge_gateway.media.history import History
from services.edge_gateway.media.ice import Address
from services.edge_gateway.media.rtp import Packet, write
from services.edge_gateway.media.srtp import Buffer, SrtpContext


class Sender(Protocol):
    """The socket, as far as links know it."""

    out: Buffer
    """Where packets are put together."""
    allowance: Allowance
    """Of each client."""

    @property
    def losses(self) -> Losses:
        """What was lost so far, to be added to."""
        ...

    def forwarded(self) -> None:
        """Measure how long the packet took that was received last."""
        ...

    @property
    def may_forward(self) -> bool:
        """Whether media may pass now."""
        ...

    def send(self, data: bytes | memoryview, address: Address) -> None:
        """Send a datagram, or lose it."""
        ...


class PlainCounts:
    """See :class:`~services.edge_gateway.media.forwarding.Counts`."""

    __slots__ = ("ask_from", "first", "highest", "jitter", "octets", "received", "transit", "upward")

    def __init__(self) -> None:
        self.first = self.highest = self.received = self.octets = 0
        self.jitter = self.transit = self.ask_from = 0.0
        self.upward = False


class PlainSendStream:
    """See :class:`~services.edge_gateway.media.forwarding.SendStream`."""

    __slots__ = ("extensions", "link", "octets", "packets", "payload_type", "sequence_offset", "ssrc", "started", "timestamp_offset")

    def __init__(self, link: Link, ssrc: int, payload_type: int) -> None:
        self.link = link
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.extensions = self.started = False
        self.sequence_offset = self.timestamp_offset = self.packets = self.octets = 0


class PlainReceiveStream:
    """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""

    def __init__(self, sender: Sender, *, keep: bool) -> None:
        self.counts = PlainCounts()
        self._sender = sender
        self._history = History() if keep else None
        self._streams: dict[SendStream, None] = {}

    def add(self, stream: SendStream) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        self._streams[stream] = None

    def remove(self, stream: SendStream) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        self._streams.pop(stream, None)

    def forward(self, packet: Packet) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        if self._history is not None:
            self._history.keep(packet)
        if not self._sender.may_forward:
            return
        out, send, octets = self._sender.out, self._sender.send, len(packet.payload)
        view = out.view
        for stream in self._streams:
            link = stream.link
            if link.transmit is None or link.address is None:
                continue
            length = link.transmit.protect(out, write(view, packet, stream))
            if length:
                send(view[:length], link.address)
                stream.packets += 1
                stream.octets += octets

    def find(self, sequence: int) -> Packet | None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        return self._history.find(sequence) if self._history is not None else None

    def close(self) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.ReceiveStream`."""
        self._streams.clear()
        self._history = None


class PlainLink:
    """See :class:`~services.edge_gateway.media.forwarding.Link`."""

    __slots__ = ("_octets_until", "_packets_until", "_sender", "_too_fast", "address", "receive", "transmit")

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.address: Address | None = None
        self.receive: SrtpContext | None = None
        self.transmit: SrtpContext | None = None
        self._packets_until = self._octets_until = 0.0
        self._too_fast = 0

    @property
    def too_fast(self) -> int:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        return self._too_fast

    def admit(self, length: int, now: float) -> bool:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        if max(self._packets_until, self._octets_until) > now + Allowance.BURST:
            self._too_fast += 1
            self._sender.losses.too_fast += 1
            return False
        allowance = self._sender.allowance
        self._packets_until = max(self._packets_until, now) + allowance.packet_seconds
        self._octets_until = max(self._octets_until, now) + length * allowance.octet_seconds
        return True

    def forwarded(self) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        self._sender.forwarded()

    def move(self, address: Address | None) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        self.address = address

    def open(self, receive: SrtpContext, transmit: SrtpContext) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        self.receive, self.transmit = receive, transmit

    def close(self) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        self.receive = self.transmit = None

    def send_rtp(self, length: int) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        if self.transmit is not None and self.address is not None and self._sender.may_forward:
            out = self._sender.out
            length = self.transmit.protect(out, length)
            if length:
                self._sender.send(out.view[:length], self.address)

    def send_rtcp(self, data: bytes) -> None:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        if self.transmit is not None and self.address is not None and self._sender.may_forward:
            out = self._sender.out
            out.view[: len(data)] = data
            length = self.transmit.protect_rtcp(out, len(data))
            if length:
                self._sender.send(out.view[:length], self.address)

    def receive_stream(
        self,
        ssrc: int,  # noqa: ARG002 - packets come here by the publication
        payload_type: int,  # noqa: ARG002
        clock_rate: int,  # noqa: ARG002
        extension_ids: Mapping[int, int],  # noqa: ARG002
        *,
        keep: bool,
    ) -> ReceiveStream:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        return PlainReceiveStream(self._sender, keep=keep)

    def send_stream(self, ssrc: int, payload_type: int) -> SendStream:
        """See :class:`~services.edge_gateway.media.forwarding.Link`."""
        return PlainSendStream(self, ssrc, payload_type)

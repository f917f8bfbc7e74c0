"""The engine in Python: links and streams, forwarded packet by packet."""

from collections.abc import Mapping
from typing import Protocol

from services.edge_gateway.media.forwarding import Link, ReceiveStream, SendStream
from services.edge_gateway.media.history import History
from services.edge_gateway.media.ice import Address
from services.edge_gateway.media.rtp import Packet, write
from services.edge_gateway.media.srtp import Buffer, SrtpContext


class Sender(Protocol):
    """The socket, as far as links know it."""

    out: Buffer
    """Where packets are put together."""

    @property
    def may_forward(self) -> bool:
        """Whether media may pass now."""
        ...

    def send(self, data: bytes | memoryview, address: Address) -> None:
        """Send a datagram, or lose it."""
        ...


class PlainCounts:
    """See :class:`~services.edge_gateway.media.forwarding.Counts`."""

    __slots__ = ("ask_from", "first", "highest", "jitter", "received", "transit", "upward")

    def __init__(self) -> None:
        self.first = self.highest = self.received = 0
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

    __slots__ = ("_sender", "address", "receive", "transmit")

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.address: Address | None = None
        self.receive: SrtpContext | None = None
        self.transmit: SrtpContext | None = None

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

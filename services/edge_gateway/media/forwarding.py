"""What both engines share: the border between what decides about media and what moves its packets.

An engine receives datagrams, finds whose they are, decrypts RTP, writes it anew for every subscriber, encrypts and sends
it. Everything else is decided above it, by one and the same code: STUN, DTLS, RTCP, repairs, and every packet that does
not simply follow the one before. The engine in Python hands each packet up; the native one only those that it cannot
forward by itself. What both sides must know of a stream lies in records with the same fields, which are Python objects in
one engine and C structures in the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from services.edge_gateway.media.ice import Address
    from services.edge_gateway.media.rtp import Packet
    from services.edge_gateway.media.srtp import SrtpContext


class Counts(Protocol):
    """What arrived of one RTP stream. All zero at first."""

    first: int
    """The first packet's sequence number."""
    highest: int
    """The highest sequence number, extended: it counts on where 16 bits wrap."""
    received: int
    """Packets, each counted once."""
    octets: int
    """Of their payloads."""
    jitter: float
    """In RTP timestamp units (RFC 3550, 6.4.1)."""
    transit: float
    """Of the last packet, on an arbitrary scale of RTP timestamp units."""
    ask_from: float
    """When the next packet is to be handed up although it is in order, because others are missing: monotonic seconds, or infinity."""
    upward: bool
    """The next packet is to be handed up, whatever it is."""


class SendStream(Protocol):
    """One track's way to one subscriber: what makes the publisher's packet the subscriber's."""

    link: Any
    """Whom it goes to, as the engine knows it."""
    ssrc: int
    payload_type: int
    extensions: bool
    """The subscriber negotiated our header extensions."""
    started: bool
    sequence_offset: int
    """To be added to the publisher's sequence number, 0 to 2^16-1."""
    timestamp_offset: int
    """To be added to the publisher's timestamp, 0 to 2^32-1."""
    packets: int
    """Sent, repairs not counted."""
    octets: int
    """Of their payloads."""


class ReceiveStream(Protocol):
    """One RTP stream of a publisher: whom it goes to, and what can be sent again."""

    @property
    def counts(self) -> Counts:
        """What arrived."""
        ...

    def add(self, stream: SendStream) -> None:
        """Forward to a subscriber from now on; the stream has been started."""
        ...

    def remove(self, stream: SendStream) -> None:
        """Forward to a subscriber no more; harmless twice."""
        ...

    def forward(self, packet: "Packet") -> None:
        """Keep a packet, and send it to all who were added."""
        ...

    def find(self, sequence: int) -> "Packet | None":
        """Return a packet that was forwarded not long ago."""
        ...

    def close(self) -> None:
        """Forward to nobody any more, and keep nothing."""
        ...


class Link(Protocol):
    """One client's packets: where they go, and the keys."""

    @property
    def address(self) -> "Address | None":
        """Where the client is."""
        ...

    @property
    def receive(self) -> "SrtpContext | None":
        """The keys of what it sends."""
        ...

    @property
    def transmit(self) -> "SrtpContext | None":
        """The keys of what it is sent."""
        ...

    def move(self, address: "Address | None") -> None:
        """Send there from now on; None, nowhere."""
        ...

    @property
    def too_fast(self) -> int:
        """How many packets of the client were too much."""
        ...

    def admit(self, length: int, now: float) -> bool:
        """Take note of a packet from the client that has so many bytes; False: it is too much, and not to be looked at."""
        ...

    def forwarded(self) -> None:
        """Measure how long a packet took that was handed up, and has been sent to everybody now."""
        ...

    def open(self, receive: "SrtpContext", transmit: "SrtpContext") -> None:
        """Let media through."""
        ...

    def close(self) -> None:
        """Let no media through any more, from now on; harmless twice."""
        ...

    def send_rtp(self, length: int) -> None:
        """Encrypt and send the RTP packet that was written into the socket's buffer."""
        ...

    def send_rtcp(self, data: bytes) -> None:
        """Encrypt and send an RTCP packet."""
        ...

    def receive_stream(
        self, ssrc: int, payload_type: int, clock_rate: int, extension_ids: Mapping[int, int], *, keep: bool
    ) -> ReceiveStream:
        """Take a stream of the client in.

        Args:
            ssrc: the stream's.
            payload_type: of its packets; others are handed up.
            clock_rate: RTP timestamp units per second.
            extension_ids: the header extensions to keep: the client's number to ours.
            keep: packets may be asked for again.
        """
        ...

    def send_stream(self, ssrc: int, payload_type: int) -> SendStream:
        """Prepare a stream to the client."""
        ...


@dataclass(frozen=True, slots=True)
class Allowance:
    """How fast one client may send: each packet, and each byte, takes a little of its time. It may be ahead of that by a second's worth."""

    packet_seconds: float = 0.0
    """0: as many as it likes."""
    octet_seconds: float = 0.0

    BURST: ClassVar[float] = 1.0
    """Seconds."""

    @classmethod
    def of(cls, packets: int, bits: int) -> "Allowance":
        """Allow so much a second."""
        return cls(1 / packets, 8 / bits)


UNLIMITED = Allowance()


@dataclass(slots=True)
class Losses:
    """Datagrams that an engine lost, counted since its start; nothing of it is an error of the engine."""

    too_long: int = 0
    """Came, and were longer than a datagram may be."""
    not_sent: int = 0
    """The kernel did not take them: its buffer was full, or there was no way to the address."""
    too_fast: int = 0
    """Came beyond what their client may send."""

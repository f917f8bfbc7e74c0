"""What a client's packets may make us keep."""

import os
import struct

import pytest
from pylibsrtp import Error, Policy, Session

from services.edge_gateway.media.dtls import SharedCertificate
from services.edge_gateway.media.forwarding import UNLIMITED
from services.edge_gateway.media.ice import IceLite
from services.edge_gateway.media.peer import Peer
from services.edge_gateway.media.srtp import Buffer, SrtpContext
from services.edge_gateway.media.streams import PlainLink
from services.edge_gateway.media.tcp import TcpConnection, TcpListener

KEY = os.urandom(44)
MINE = 7
"""The SSRC that the publisher's SDP named."""


def session(kind: int) -> Session:
    """Make one direction."""
    return Session(Policy(KEY, kind, 0, Policy.SRTP_PROFILE_AEAD_AES_256_GCM))


def rtp(ssrc: int, sequence: int = 1) -> bytes:
    """Make a packet that the client encrypted."""
    return session(Policy.SSRC_ANY_OUTBOUND).protect(struct.pack("!BBHII", 0x80, 96, sequence, 0, ssrc))


def rtcp(ssrc: int) -> bytes:
    """Make a receiver report that the client encrypted."""
    return session(Policy.SSRC_ANY_OUTBOUND).protect_rtcp(struct.pack("!BBHI", 0x80, 201, 1, ssrc))


class Mux:
    """No socket."""

    def __init__(self) -> None:
        self.ice = IceLite()
        self.out = Buffer()
        self.may_forward = True
        self.allowance = UNLIMITED
        self.dropped = []
        """Where nothing of before leaves any more."""

    def claim(self, *_) -> bool:
        """Have every address be anybody's."""
        return True

    def release(self, *_) -> None:
        """Keep none."""

    def drop_unsent(self, address) -> None:
        """Remember it."""
        self.dropped.append(address)

    def link(self) -> PlainLink:
        """Make a way to the client."""
        return PlainLink(self)


class User:
    """Takes one stream, and remembers what came."""

    connection = "publish"

    def __init__(self, ssrcs: frozenset[int]) -> None:
        self.ssrcs = ssrcs
        self.got = []

    def expects(self, packet) -> bool:  # noqa: ARG002 - the protocol has it
        """Expect no others."""
        return False

    def on_connected(self) -> None:
        """Nothing follows."""

    def on_rtp(self, packet, now) -> None:  # noqa: ARG002 - the protocol has it
        """Remember whose it is."""
        self.got.append(("rtp", int.from_bytes(packet[8:12], "big")))

    def on_rtcp(self, data, now) -> None:  # noqa: ARG002
        """Remember whose it is."""
        self.got.append(("rtcp", int.from_bytes(data[4:8], "big")))


@pytest.fixture
def connect():
    """Give a function that makes a peer connection of a user, connected."""
    buffer = Buffer()

    def connected(user: User):
        peer = Peer("ann", user, Mux(), SharedCertificate.generateCertificate(), 5.0, failed=lambda _: None)
        streams = session(Policy.SSRC_ANY_INBOUND)
        peer.link.receive = SrtpContext(streams)

        def receive(packet: bytes) -> None:
            buffer.view[: len(packet)] = packet
            peer.on_srtp(buffer, len(packet), 0.0)

        return receive, streams

    return connected


def kept(streams: Session, ssrcs) -> list[int]:
    """Say of which SSRCs libsrtp has a stream, and remove those."""
    found = []
    for ssrc in ssrcs:
        try:
            streams.remove_stream(ssrc)
        except Error:
            continue
        found.append(ssrc)
    return found


def test_rtp_that_was_not_announced_is_not_decrypted(connect):
    """Libsrtp keeps a stream for every SSRC that it decrypts, in a list that it searches for every packet."""
    user = User(frozenset({MINE}))
    receive, streams = connect(user)
    for ssrc in range(20):
        receive(rtp(ssrc))
    assert user.got == [("rtp", MINE)]
    assert kept(streams, range(20)) == [MINE]


def test_rtp_that_is_expected_is_taken_when_it_is_authentic(connect):
    """A layer's first packet names its stream; nobody else may do so."""
    user = User(frozenset({MINE}))
    receive, streams = connect(user)
    named = session(Policy.SSRC_ANY_OUTBOUND).protect(struct.pack("!BBHII", 0x80, 96, 1, 0, 8))
    user.expects = lambda packet: int.from_bytes(packet[8:12], "big") in {8, 9}
    receive(named)
    receive(struct.pack("!BBHII", 0x80, 96, 1, 0, 9) + bytes(40))
    receive(rtp(10))
    assert user.got == [("rtp", 8)]
    assert kept(streams, range(20)) == [8]


def test_a_subscriber_sends_no_rtp(connect):
    """Its feedback is heard."""
    user = User(frozenset())
    receive, streams = connect(user)
    for ssrc in range(20):
        receive(rtp(ssrc))
    receive(rtcp(5))
    assert user.got == [("rtcp", 5)]
    assert kept(streams, range(20)) == [5]


def test_of_rtcp_the_latest_senders_are_kept(connect):
    """A browser may have one for each track that comes and goes, so there is no last one; the media's own is never forgotten."""
    user = User(frozenset({MINE}))
    receive, streams = connect(user)
    receive(rtp(MINE))
    for ssrc in range(100, 300):
        receive(rtcp(ssrc))
    receive(rtcp(MINE))
    assert len(user.got) == 202
    assert kept(streams, [MINE, *range(100, 300)]) == [MINE, *range(300 - 64, 300)]


def test_packets_of_any_length_are_harmless(connect):
    """Also such as end before their SSRC."""
    user = User(frozenset({MINE}))
    receive, _ = connect(user)
    for kind in (0x60, 0xC9):
        for length in range(1, 40):
            receive(bytes([0x80, kind, *bytes(38)])[:length])
    assert user.got == []


def test_what_is_sent_no_more_is_forgotten():
    """A long session has many subscriptions one after the other."""
    peer = Peer("ann", User(frozenset()), Mux(), SharedCertificate.generateCertificate(), 5.0, failed=lambda _: None)
    peer.forget(MINE)
    streams = session(Policy.SSRC_ANY_OUTBOUND)
    peer.link.transmit = SrtpContext(streams)
    for ssrc in (MINE, 8):
        streams.protect(struct.pack("!BBHII", 0x80, 96, 1, 0, ssrc))
    peer.forget(MINE)
    peer.forget(MINE)
    assert kept(streams, [MINE, 8]) == [8]


def test_what_waits_at_a_former_address_is_thrown_away():
    """Who stops reading TCP and goes over to UDP would have media of before its end after it."""
    mux = Mux()
    peer = Peer("ann", User(frozenset()), mux, SharedCertificate.generateCertificate(), 5.0, failed=lambda _: None)
    over_tcp, over_udp = TcpConnection(TcpListener(mux, 1, 1)), ("192.0.2.1", 9)
    peer.seen_at(over_tcp, 1.0, nominated=True, credentials=peer.credentials)
    assert mux.dropped == []
    peer.seen_at(over_udp, 2.0, nominated=True, credentials=peer.credentials)
    assert mux.dropped == [over_tcp]
    peer.silence()
    assert mux.dropped == [over_tcp, over_udp]

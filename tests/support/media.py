"""Both engines, and clients that have keys and a socket but no ICE and no DTLS."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence

import pytest
from aiortc.rtp import RtpPacket
from pylibsrtp import Policy, Session

from services.edge_gateway.media.forwarding import UNLIMITED, Allowance, Link
from services.edge_gateway.media.mux import Route, UdpMux
from services.edge_gateway.media.sockets import bind
from services.edge_gateway.media.srtp import SrtpContext

try:
    from services.edge_gateway.media.native.engine import NativeMux
except ImportError:
    NativeMux = None

ENGINES = [
    "python",
    pytest.param("native", marks=pytest.mark.skipif(NativeMux is None, reason="no C compiler was there at install")),
]


def session(key: bytes, kind: int) -> Session:
    """Make one direction of SRTP."""
    policy = Policy(key, kind, 0, Policy.SRTP_PROFILE_AEAD_AES_256_GCM)
    policy.allow_repeat_tx = True
    return Session(policy)


@contextlib.contextmanager
def engine(name: str, clock: Callable[[], float] | None = None, allowance: Allowance = UNLIMITED) -> Iterator[UdpMux]:
    """Give an engine that is read by hand, and forwards."""
    mux = make_mux(name, bind(["127.0.0.1"], 0, tcp=False).udp, clock or (lambda: 0.0), allowance)
    mux.allow_until(float("inf"))
    try:
        yield mux
    finally:
        mux.close()


def make_mux(name: str, sockets: Sequence[socket.socket], clock: Callable[[], float], allowance: Allowance = UNLIMITED) -> UdpMux:
    """Make the engine of that name."""
    if name == "python":
        return UdpMux(*sockets, clock=clock, allowance=allowance)
    assert NativeMux is not None
    return NativeMux(*sockets, clock=clock, allowance=allowance)


class MediaClient:
    """The other end of a link: it remembers what it was sent.

    Args:
        mux: the engine.
        keys: two of 44 bytes: what it sends, and what it receives.
    """

    def __init__(self, mux: UdpMux, keys: tuple[bytes, bytes] | None = None) -> None:
        self._mux = mux
        self._sent, self._received = keys or (os.urandom(44), os.urandom(44))
        self.out = mux.out.view
        (self.socket,) = bind(["127.0.0.1"], 0, tcp=False).udp
        self.socket.connect(("127.0.0.1", mux.port))
        self.link: Link = mux.link()
        self._give_keys()
        self.sealed: list[bytes] = []
        """What came, as it came."""
        self._seal = session(self._sent, Policy.SSRC_ANY_OUTBOUND)
        self._unseal = session(self._received, Policy.SSRC_ANY_INBOUND)
        self._opened: dict[bytes, RtpPacket] = {}
        self._rtp: list[RtpPacket] = []
        self._rtcp: list[bytes] = []

    def _give_keys(self) -> None:
        self.link.open(
            SrtpContext(session(self._sent, Policy.SSRC_ANY_INBOUND)), SrtpContext(session(self._received, Policy.SSRC_ANY_OUTBOUND))
        )
        self.link.move(self.socket.getsockname())

    def connect(self, route: Route) -> None:
        """Be the client of a peer connection, whose packets come from here."""
        self.link = route.link
        self._give_keys()
        assert self._mux.claim(self.socket.getsockname(), route, 0.0)

    def send(self, packet: bytes) -> None:
        """Send the engine an RTP packet."""
        self.socket.send(self._seal.protect(packet))

    def take_in(self) -> None:
        """Take in what the engine has sent so far, as it is: on the loopback interface, that has arrived."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sealed.append(self.socket.recv(4096))

    def collect(self) -> None:
        """Take in what the engine has sent so far, and open it."""
        before = len(self.sealed)
        self.take_in()
        for data in self.sealed[before:]:
            if 192 <= data[1] <= 223:
                self._rtcp.append(self._unseal.unprotect_rtcp(data))
                continue
            # What is repeated to the bit is opened once: SRTP takes a number only once.
            if data not in self._opened:
                self._opened[data] = RtpPacket.parse(self._unseal.unprotect(data))
            self._rtp.append(self._opened[data])

    @property
    def rtp(self) -> list[RtpPacket]:
        """What media came."""
        self.collect()
        return self._rtp

    @property
    def rtcp(self) -> list[bytes]:
        """What RTCP came."""
        self.collect()
        return self._rtcp

    def close(self) -> None:
        """Free the socket."""
        self.socket.close()


@pytest.fixture(name="mux", params=ENGINES)
def give_mux(request: pytest.FixtureRequest) -> Iterator[UdpMux]:
    """Give each engine."""
    with engine(request.param) as mux:
        yield mux


@pytest.fixture(name="client")
def give_client(mux: UdpMux) -> Iterator[Callable[[], MediaClient]]:
    """Give a function that makes clients of the engine."""
    clients: list[MediaClient] = []

    def make() -> MediaClient:
        clients.append(MediaClient(mux))
        return clients[-1]

    yield make
    for one in clients:
        one.close()

"""ICE-lite: answers connectivity checks, and learns from them where clients are (RFC 8445, 2.5)."""

import secrets
from dataclasses import dataclass
from typing import Protocol

from services.edge_gateway.media.stun import MalformedStunError, binding_response, parse_request
from services.edge_gateway.media.tcp import TcpConnection

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""As a UDP socket gives it, IPv4 or IPv6."""
Address = SocketAddress | TcpConnection
"""Where a client is: an address of UDP, or the connection that it came over."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client must know for its checks to be answered."""

    ufrag: str
    password: str

    @classmethod
    def fresh(cls) -> "Credentials":
        """Make new ones: 64 and 192 random bits (RFC 8445, 5.3 asks for 24 and 128)."""
        return cls(secrets.token_hex(8), secrets.token_hex(24))


class Checked(Protocol):
    """A peer connection, as far as connectivity checks go."""

    def seen_at(self, address: Address, now: float, *, nominated: bool, credentials: Credentials) -> bool:
        """Take note of an authentic check that was made with these; tell whether it may be answered."""
        ...


class IceLite:
    """Finds the peer connection that a check is for. Who does not know its password is not answered at all."""

    def __init__(self) -> None:
        self._peers: dict[str, tuple[Checked, Credentials]] = {}

    def add(self, peer: Checked, credentials: Credentials) -> None:
        """Answer a peer's checks with these from now on, with others that it has as before (RFC 8445, 2.4: a restart)."""
        self._peers[credentials.ufrag] = peer, credentials

    def remove(self, credentials: Credentials) -> None:
        """Answer checks with these no more; harmless twice."""
        self._peers.pop(credentials.ufrag, None)

    def check(self, datagram: bytes, address: Address, now: float) -> bytes | None:
        """Handle one datagram.

        Returns:
            The response to send back; None for silence.
        """
        try:
            request = parse_request(datagram)
        except MalformedStunError:
            return None
        found = self._peers.get(request.username.partition(":")[0])
        if found is None:
            return None
        peer, credentials = found
        password = credentials.password.encode()
        if not request.authentic(password) or not peer.seen_at(address, now, nominated=request.nominates, credentials=credentials):
            return None
        host, port = (address.host, address.port) if isinstance(address, TcpConnection) else address[:2]
        return binding_response(request.transaction, host, port, password)

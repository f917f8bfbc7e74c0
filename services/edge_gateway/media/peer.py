"""One peer connection: where the client is, DTLS with it, and its SRTP keys."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from services.edge_gateway.media.channel import DataChannel
from services.edge_gateway.media.dtls import DtlsServer, HandshakeError, SharedCertificate
from services.edge_gateway.media.ice import Address, Credentials
from services.edge_gateway.media.interface import Connection, TransportFailed
from services.edge_gateway.media.mux import UdpMux
from services.edge_gateway.media.rtp import HEADER_SIZE
from services.edge_gateway.media.sdp import Fingerprints
from services.edge_gateway.media.srtp import Buffer, SrtpContext
from services.edge_gateway.media.tcp import TcpConnection

log = structlog.get_logger()

_RTCP_SENDERS = 64
"""SSRCs that a client's RTCP may come from besides those of its RTP: Firefox has one for each track that it receives."""
_UDP_OVER = 5.0
"""Seconds without a nominating check over UDP; browsers take as long to give a pair up."""
_CONSENT = 30.0
"""Seconds without an authentic check after which nothing is sent any more: at that address there may be somebody else by now, or
always was, who never asked for it (RFC 7675, 5.1)."""


class PeerUser(Protocol):
    """Whom a peer connection serves: a publication or a subscriber."""

    @property
    def connection(self) -> Connection:
        """Which of the session's it is."""
        ...

    @property
    def ssrcs(self) -> Collection[int]:
        """What it takes: RTP of others is dropped unread."""
        ...

    def expects(self, packet: memoryview) -> bool:
        """Whether an RTP packet of an SSRC that is not among these is taken all the same. It is not decrypted yet, nor authentic."""
        ...

    def on_connected(self) -> None:
        """Packets can be sent from now on."""
        ...

    def on_rtp(self, packet: memoryview, now: float) -> None:
        """Take an authentic RTP packet; the memory is the callee's until it returns."""
        ...

    def on_rtcp(self, data: bytes, now: float) -> None:
        """Take an authentic RTCP packet."""
        ...


class Peer:
    """Our end of a peer connection.

    Args:
        session: whose it is, for the log.
        user: gets what comes in.
        mux: the socket.
        certificate: ours.
        handshake_timeout: seconds.
        failed: is told when there will be no connection.
    """

    def __init__(
        self,
        session: str,
        user: PeerUser,
        mux: UdpMux,
        certificate: SharedCertificate,
        handshake_timeout: float,
        *,
        failed: Callable[[TransportFailed], None],
    ) -> None:
        self.heard = 0.0
        self.link = mux.link()
        self._session = session
        self._user: PeerUser | None = user
        self._mux = mux
        self._handshake_timeout = handshake_timeout
        self._failed = failed
        self._dtls = DtlsServer(certificate, self._send_dtls)
        self._nominated_udp = float("-inf")
        self._too_fast = False
        self._generations = [Credentials.fresh()]  # the first is in use; a second one is to take its place
        self._remote: Fingerprints | None = None
        self._channel_port: int | None = None
        self._channel: DataChannel | None = None
        self._opening: asyncio.Task[None] | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._rtcp_senders: OrderedDict[int, None] = OrderedDict()  # the one that was silent longest comes first
        mux.ice.add(self, self.credentials)

    @property
    def credentials(self) -> Credentials:
        """What the client is to make its checks with."""
        return self._generations[-1]

    @property
    def connected(self) -> bool:
        """Packets can be sent."""
        return self.link.transmit is not None

    @property
    def remote(self) -> Fingerprints | None:
        """The client's certificate, once it is known."""
        return self._remote

    def expect(self, fingerprints: Fingerprints) -> None:
        """Accept a client with that certificate from now on."""
        self._remote = fingerprints
        self._begin()

    def restart(self) -> None:
        """Have other credentials: the client looks for a new way here (RFC 8839, 4.4.1.1.1).

        Until a way is nominated with them, those that it uses hold; DTLS and its keys go on.
        """
        for unused in self._generations[1:]:
            self._mux.ice.remove(unused)
        self._generations[1:] = [Credentials.fresh()]
        self._mux.ice.add(self, self.credentials)

    def seen_at(self, address: Address, now: float, *, nominated: bool, credentials: Credentials) -> bool:
        """Take note of an authentic connectivity check.

        The first one says where the client is; after that only one that nominates moves it (RFC 8445, 8.2), and to TCP only
        when UDP is over: who nominates all pairs that work means the best of them. What was nominated before a restart is not
        among them.

        Returns:
            False: the check is not to be answered, because the address is another client's.
        """
        before = self.link.address
        if nominated and credentials is not self._generations[0]:
            self._mux.ice.remove(self._generations.pop(0))
            self._nominated_udp = float("-inf")
        over_tcp = isinstance(address, TcpConnection)
        if nominated and not over_tcp:
            self._nominated_udp = now
        if address != before and (before is None or (nominated and not (over_tcp and self._has_udp(now)))):
            if not self._mux.claim(address, self, now):
                log.debug("media_address_taken", session=self._session)
                return False
            if before is not None:
                self._mux.release(before, self)
                # Nothing sees to it later, and what waits there would leave after the end.
                self._mux.drop_unsent(before)
            self.link.move(address)
            self._begin()
        self.heard = now
        return True

    def _has_udp(self, now: float) -> bool:
        return self._nominated_udp > now - _UDP_OVER

    def _begin(self) -> None:
        if self._handshake is None and self._remote is not None and self.link.address is not None:
            self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(self._remote))

    async def _shake_hands(self, remote: Fingerprints) -> None:
        try:
            contexts = await self._dtls.handshake(remote, self._handshake_timeout, self._on_dtls_closed)
        except HandshakeError as error:
            log.warning("media_handshake_failed", session=self._session, reason=str(error))
            if self._user is not None:
                self._failed(TransportFailed(self._session, self._user.connection, str(error)))
            return
        if self._user is not None:
            self.link.open(*contexts)
            log.info("media_connected", session=self._session)
            self._user.on_connected()
            await self._open_channel()

    def expect_channel(self, port: int) -> None:
        """Have a data channel to the client's SCTP port, the first one that it names."""
        if self._channel_port is None:
            self._channel_port = port
            if self.connected:
                self._opening = asyncio.get_running_loop().create_task(self._open_channel())

    async def _open_channel(self) -> None:
        if self._channel_port is not None and self._channel is None and self.connected:
            self._channel = self._dtls.channel(self._channel_port)
            await self._channel.start()

    @property
    def can_tell(self) -> bool:
        """Whether the client can be told something, with or without media."""
        return self._channel is not None and self._channel.is_open

    async def tell(self, text: str, seconds: float) -> str | None:
        """Tell the client something over the data channel. Returns what it says to that within the time."""
        return None if self._channel is None else await self._channel.say(text, seconds)

    def _on_dtls_closed(self) -> None:
        log.info("media_closed_by_client", session=self._session)
        self.silence()
        self._leave()
        if self._channel is not None:
            self._opening = asyncio.get_running_loop().create_task(self._channel.close())

    def look_at_consent(self, now: float) -> None:
        """Fall silent where the client has not checked the connection for too long; to be called each second."""
        if self._user is None or self.link.address is None or now - self.heard <= _CONSENT:
            return
        failure = TransportFailed(self._session, self._user.connection, f"no connectivity check for {_CONSENT:.0f} s")
        self.silence()
        self._leave()
        self._failed(failure)

    def on_dtls(self, datagram: bytes) -> None:
        """Take a DTLS datagram from the client's address."""
        self._dtls.receive(datagram)

    def on_srtp(self, buffer: Buffer, length: int, now: float) -> None:
        """Take an SRTP or SRTCP packet from the client's address (RFC 5761, 4 tells them apart).

        libsrtp keeps a stream for every SSRC that it ever decrypted, so it is not shown more than we need.
        """
        receive = self.link.receive
        if receive is None or self._user is None or length < HEADER_SIZE or not self.link.admit(length, now):
            return
        view = buffer.view
        if 192 <= view[1] <= 223:
            ssrc = int.from_bytes(view[4:8], "big")
            length = receive.unprotect_rtcp(buffer, length)
            if length:
                self._remember_sender(receive, ssrc)
                self._user.on_rtcp(bytes(view[:length]), now)
        elif int.from_bytes(view[8:12], "big") in self._user.ssrcs or self._user.expects(view[:length]):
            length = receive.unprotect(buffer, length)
            if length:
                self._user.on_rtp(view[:length], now)

    def _remember_sender(self, receive: SrtpContext, ssrc: int) -> None:
        assert self._user is not None
        # A stream of RTP is never forgotten: its count of roll-overs would be lost.
        if ssrc in self._user.ssrcs:
            return
        self._rtcp_senders[ssrc] = None
        self._rtcp_senders.move_to_end(ssrc)
        if len(self._rtcp_senders) > _RTCP_SENDERS:
            oldest, _ = self._rtcp_senders.popitem(last=False)
            if oldest not in self._user.ssrcs:
                receive.forget(oldest)

    def send_rtcp(self, data: bytes) -> None:
        """Encrypt and send an RTCP packet."""
        self.link.send_rtcp(data)

    def look_at_rate(self) -> None:
        """Log who sends more than it may, once."""
        if self.link.too_fast and not self._too_fast:
            self._too_fast = True
            log.warning("media_too_fast", session=self._session)

    def forget(self, ssrc: int) -> None:
        """Send no RTP or RTCP of that SSRC again."""
        if self.link.transmit is not None:
            self.link.transmit.forget(ssrc)

    def _send_dtls(self, data: bytes) -> None:
        if self.link.address is not None:
            self._mux.send(data, self.link.address)

    def silence(self) -> None:
        """Receive and send no media any more, from now on; harmless twice. The client can still be told something."""
        self.link.close()
        self._user = None
        if self.link.address is not None:
            self._mux.drop_unsent(self.link.address)

    def _leave(self) -> None:
        """Receive nothing any more."""
        for credentials in self._generations:
            self._mux.ice.remove(credentials)
        if self.link.address is not None:
            self._mux.release(self.link.address, self)

    async def close(self) -> None:
        """Fall silent, tell the client, and end; never suspends."""
        self.silence()
        self._leave()
        for task in (self._handshake, self._opening):
            if task is not None:
                task.cancel()
        if self._channel is not None:
            await self._channel.close()
        await self._dtls.close()
        if self.link.address is not None:
            self._mux.hang_up(self.link.address)
            self.link.move(None)

    async def ended(self) -> None:
        """Wait, after :meth:`close`, until its tasks are gone."""
        if self._handshake is not None:
            await asyncio.wait([self._handshake])
        await self._dtls.ended()

"""DTLS as the server, over aiortc's transport (RFC 5764, RFC 8842).

aiortc brings the handshake, the check of the fingerprint and the SRTP keys; it asks of its ICE transport only ``_recv``
and ``_send``, which :class:`_Inbox` has. RTP never passes through here. Private parts of aiortc that are used:
``RTCCertificate._create_ssl_context`` and ``RTCDtlsTransport._set_role``, ``_rx_srtp``, ``_tx_srtp``, ``_task``;
those that a data channel uses are named in :mod:`.channel`. :func:`self_test` runs when the module is imported.
"""

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, cast

from aiortc import RTCCertificate, RTCSctpTransport
from aiortc.rtcdtlstransport import RTCDtlsParameters, RTCDtlsTransport, SRTPProtectionProfile
from OpenSSL import SSL

from services.edge_gateway.media.channel import DataChannel
from services.edge_gateway.media.sdp import Fingerprints, to_aiortc
from services.edge_gateway.media.srtp import SrtpContext, UnsupportedLibraryError

if TYPE_CHECKING:
    from aiortc import RTCIceTransport

_USED = (
    *("_set_role", "_role", "_rx_srtp", "_tx_srtp", "_task", "start", "stop", "on", "remove_all_listeners"),
    *("_register_data_receiver", "_unregister_data_receiver", "_send_data"),
)
_INBOX_SIZE = 32
"""Datagrams; a client's whole handshake has fewer than ten."""


class HandshakeError(Exception):
    """The handshake did not succeed; the text says why."""


class SharedCertificate(RTCCertificate):
    """One certificate and one SSL context for all: making them costs more than a handshake."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
        return self._context

    @property
    def sha256(self) -> str:
        """The fingerprint, as SDP writes it."""
        return next(found.value for found in self.getFingerprints() if found.algorithm == "sha-256")


class _Inbox:
    """What aiortc takes for an ICE transport: received datagrams wait here, sent ones leave at once."""

    role = "controlled"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._datagrams: asyncio.Queue[bytes] = asyncio.Queue(_INBOX_SIZE)
        self._write = send

    def put(self, datagram: bytes) -> None:
        # DTLS repeats what is lost, and what is too much is lost.
        if not self._datagrams.full():
            self._datagrams.put_nowait(datagram)

    def detach(self) -> None:
        self._write = _discard

    async def _recv(self) -> bytes:
        return await self._datagrams.get()

    async def _send(self, data: bytes) -> None:
        self._write(data)


def _discard(_: bytes) -> None:
    """Send to nobody."""


class DtlsServer:
    """Our end of one peer connection's DTLS.

    Args:
        certificate: ours.
        send: sends a datagram to the client.
    """

    def __init__(self, certificate: SharedCertificate, send: Callable[[bytes], None]) -> None:
        self._inbox = _Inbox(send)
        self._transport = RTCDtlsTransport(cast("RTCIceTransport", self._inbox), [certificate])
        self._transport._set_role("server")  # noqa: SLF001 - see the module's docstring
        self._pump: asyncio.Future[None] | None = None

    def receive(self, datagram: bytes) -> None:
        """Take a datagram from the client."""
        self._inbox.put(datagram)

    async def handshake(self, fingerprints: Fingerprints, timeout: float, closed: Callable[[], None]) -> tuple[SrtpContext, SrtpContext]:  # noqa: ASYNC109 - the caller's is a setting
        """Wait for the client's handshake; it begins.

        Args:
            fingerprints: the client's certificate has all of these.
            timeout: seconds.
            closed: is called when the client ends the connection later.

        Returns:
            The SRTP contexts for receiving and for sending.

        Raises:
            HandshakeError: it failed, or took too long.
        """
        transport = self._transport
        try:
            async with asyncio.timeout(timeout):
                await transport.start(RTCDtlsParameters(fingerprints=to_aiortc(fingerprints), role="client"))
        except TimeoutError:
            raise HandshakeError(f"not done after {timeout:g} s") from None
        except Exception as error:  # a hostile certificate goes through three libraries
            raise HandshakeError(f"{type(error).__name__}: {error}") from error
        if transport.state != "connected":
            raise HandshakeError("refused: another certificate than the SDP's, or nothing in common")
        self._pump = transport._task  # noqa: SLF001
        transport.on("statechange", closed)
        return SrtpContext(transport._rx_srtp), SrtpContext(transport._tx_srtp)  # noqa: SLF001

    def channel(self, port: int) -> DataChannel:
        """Make a data channel to the client's SCTP port; the handshake is done."""
        return DataChannel(self._transport, port)

    async def close(self) -> None:
        """Tell the client (close_notify), and end; never suspends."""
        # The listener and the inbox lead back to our owner: without this only the garbage collector would free the keys.
        self._transport.remove_all_listeners()
        await self._transport.stop()
        self._inbox.detach()

    async def ended(self) -> None:
        """Wait, after :meth:`close`, until aiortc's task is gone."""
        if self._pump is not None:
            await asyncio.wait([self._pump])


def self_test() -> None:
    """Look for the parts of aiortc that this package uses.

    Raises:
        UnsupportedLibraryError: aiortc is not what it was.
    """
    found = version("aiortc")
    try:
        transport = RTCDtlsTransport(cast("RTCIceTransport", _Inbox(_discard)), [SharedCertificate.generateCertificate()])
        for name in _USED:
            getattr(transport, name)
        RTCSctpTransport._handle_data  # noqa: B018, SLF001 - it must be there
        RTCCertificate._create_ssl_context  # noqa: B018, SLF001 - it must be there
    except (AttributeError, TypeError) as error:
        raise UnsupportedLibraryError(f"aiortc {found} is not 1.16.0: its parts moved") from error


self_test()

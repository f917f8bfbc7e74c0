"""One data channel over a peer connection's DTLS (RFC 8831), for the last word of a session that has ended.

Both sides know of it beforehand, so nothing is negotiated inside: stream 0, in order, reliable. The client says a word over it and
no more. aiortc has SCTP; private parts of it that are used: of ``RTCDtlsTransport`` that it asks of whom it is given for one only
``_role``, ``_register_data_receiver``, ``_unregister_data_receiver`` and ``_send_data``, which :class:`_Guarded` has, and that it calls
``_handle_data`` with what comes in.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, cast

import structlog
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCDtlsTransport, RTCSctpTransport

from services.edge_gateway.media.sctp import UnexpectedPacketError, check
from shared.rates import RateLimits

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger()

MAX_WORD = 64
"""Bytes of what a client says."""
_STREAM = 0
_MAX_WORDS = 16
"""Sent again and again, where our acknowledgement is lost."""
_PACKETS_A_SECOND = 10.0
_PACKET_BURST = 64.0


class _Receiver(Protocol):
    async def _handle_data(self, data: bytes) -> None: ...


class _Guarded:
    """What aiortc's SCTP takes for a DTLS transport: it lets through what a browser says, and so much of it."""

    def __init__(self, transport: RTCDtlsTransport, broken: "Callable[[], None]") -> None:
        self._transport = transport
        self.broken = broken
        self._receiver: _Receiver | None = None
        self._limits = RateLimits(_PACKETS_A_SECOND, _PACKET_BURST, keys=1)
        self._words = 0
        self.hushed = False

    @property
    def state(self) -> str:
        return self._transport.state

    @property
    def _role(self) -> str:
        return self._transport._role  # noqa: SLF001 - see the module's docstring

    def _register_data_receiver(self, receiver: _Receiver) -> None:
        self._receiver = receiver
        self._transport._register_data_receiver(self)  # noqa: SLF001

    def _unregister_data_receiver(self, _: _Receiver) -> None:
        self._receiver = None
        self._transport._unregister_data_receiver(self)  # noqa: SLF001

    async def _send_data(self, data: bytes) -> None:
        if self.state == "connected" and not self.hushed:
            await self._transport._send_data(data)  # noqa: SLF001

    async def _handle_data(self, data: bytes) -> None:
        if self._receiver is None or not self._limits.take(None, time.monotonic()):
            return
        try:
            self._words += check(data, _STREAM, MAX_WORD)
            if self._words <= _MAX_WORDS:
                await self._receiver._handle_data(data)  # noqa: SLF001
        except UnexpectedPacketError as error:
            log.debug("media_channel_packet_dropped", reason=str(error))
        except Exception as error:  # noqa: BLE001 -- whatever a hostile client makes of SCTP, its DTLS goes on
            log.info("media_channel_broken", reason=type(error).__name__)
            self.broken()


def _do_nothing() -> None:
    """Nobody is to be told."""


class DataChannel:
    """The server's end.

    Args:
        transport: connected.
        port: the client's SCTP port.
    """

    def __init__(self, transport: RTCDtlsTransport, port: int) -> None:
        self._port = port
        self._answer: asyncio.Future[str | None] | None = None
        self._guarded = _Guarded(transport, self._break)
        self._sctp = RTCSctpTransport(cast("RTCDtlsTransport", self._guarded))
        self._channel = RTCDataChannel(self._sctp, RTCDataChannelParameters(negotiated=True, id=_STREAM))
        self._channel.on("message", self._hear)
        self._channel.on("close", lambda: self._hear(None))
        self._ending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Have the client's end come about; never suspends."""
        await self._sctp.start(None, self._port)

    @property
    def is_open(self) -> bool:
        """Whether something can be said."""
        return self._channel.readyState == "open"

    async def say(self, text: str, seconds: float) -> str | None:
        """Say something and wait so long for a word. Returns it; None: there was none, or the channel has ended.

        What the client has said before does not count.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self._channel.send(text)
        try:
            async with asyncio.timeout(seconds):
                return await self._answer
        except TimeoutError:
            return None
        finally:
            self._answer = None

    def _hear(self, word: str | bytes | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(word if isinstance(word, str) else None)

    def _break(self) -> None:
        self._ending = asyncio.get_running_loop().create_task(self.close())

    async def close(self) -> None:
        """End it, with its timers; never suspends, harmless twice."""
        # The listeners lead back here: without this only the garbage collector would free DTLS and its keys.
        self._channel.remove_all_listeners()
        self._guarded.broken = _do_nothing
        self._hear(None)
        # DTLS is about to end with a word of its own.
        self._guarded.hushed = True
        await self._sctp.stop()

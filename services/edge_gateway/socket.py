"""The sending half of a browser's WebSocket: what cannot be written at once waits in a bounded queue, which one task empties."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.edge_gateway import protocol
from services.edge_gateway.protocol import CloseCode
from shared.http_server import write_at_once

log = structlog.get_logger()

MAX_QUEUED_BYTES = 1 << 20
_CLOSE_SECONDS = 2.0


class Socket:
    """Sends messages in order. A browser that does not read fast enough is cut, not waited for."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._write_at_once = write_at_once(websocket.scope)
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued_bytes = 0
        self._closing = asyncio.Event()
        self._close_code = CloseCode.ENDED

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; after :meth:`close` it goes nowhere."""
        self.send_text(protocol.encode(message))

    def send_text(self, text: str) -> None:
        """Send a message that is encoded, in ASCII: a character is a byte."""
        if self._closing.is_set():
            return
        if self._queued_bytes + len(text) > MAX_QUEUED_BYTES:
            self.close(CloseCode.SLOW)
        elif self._queued_bytes or not self._write_at_once(text):
            self._queued_bytes += len(text)
            self._queue.put_nowait(text)

    def close(self, code: int) -> None:
        """Close after what is queued. The first code counts."""
        if not self._closing.is_set():
            self._close_code = code
            self._closing.set()

    async def write(self) -> int:
        """Send what is queued until the end, then close. Returns the close code; 1006 where the other side was gone first."""
        sending = asyncio.create_task(self._send_all())
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({sending, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and self._close_code != CloseCode.SLOW:
                # What is queued goes first; who does not take it in time is cut all the same.
                emptying = asyncio.create_task(self._queue.join())
                await asyncio.wait({sending, emptying}, timeout=_CLOSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                emptying.cancel()
            if sending.done():
                sending.result()
            await self._websocket.close(self._close_code)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            # The other side is gone.
            log.debug("socket_write_ended", reason=str(error) or type(error).__name__)
            return CloseCode.LOST
        finally:
            sending.cancel()
            closing.cancel()
        return self._close_code

    async def _send_all(self) -> None:
        while True:
            text = await self._queue.get()
            await self._websocket.send_text(text)
            self._queued_bytes -= len(text)
            self._queue.task_done()

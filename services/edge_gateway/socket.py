"""The sending half of a browser's WebSocket: a bounded queue, and one task that empties it."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.edge_gateway.protocol import CloseCode

log = structlog.get_logger()

MAX_QUEUED_BYTES = 1 << 20
_CLOSE_SECONDS = 2.0


class Socket:
    """Sends messages in order. A browser that does not read fast enough is cut, not waited for."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued_bytes = 0
        self._closing = asyncio.Event()
        self._close_code = CloseCode.ENDED

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a message; after :meth:`close` it goes nowhere."""
        if self._closing.is_set():
            return
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        self._queued_bytes += len(text)
        if self._queued_bytes > MAX_QUEUED_BYTES:
            self.close(CloseCode.SLOW)
        else:
            self._queue.put_nowait(text)

    def close(self, code: int) -> None:
        """Close after what is queued. The first code counts."""
        if not self._closing.is_set():
            self._close_code = code
            self._closing.set()

    async def write(self) -> None:
        """Send what is queued until the end, then close."""
        sending = asyncio.create_task(self._send_all())
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({sending, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                # What is queued goes first; who does not take it in time is cut all the same.
                async with asyncio.timeout(_CLOSE_SECONDS):
                    if self._close_code != CloseCode.SLOW:
                        await self._queue.join()
                    await self._websocket.close(self._close_code)
        except (TimeoutError, WebSocketDisconnect, RuntimeError, OSError) as error:
            log.debug("socket_not_closed", reason=str(error) or type(error).__name__)
        finally:
            sending.cancel()
            closing.cancel()

    async def _send_all(self) -> None:
        try:
            while True:
                text = await self._queue.get()
                await self._websocket.send_text(text)
                self._queued_bytes -= len(text)
                self._queue.task_done()
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            # The other side is gone; the reading half hears it, too.
            log.debug("socket_write_ended", reason=str(error) or type(error).__name__)

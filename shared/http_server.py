"""uvicorn's protocols with an end to every wait: nobody keeps memory here by being slow, silent, or too many.

uvicorn waits for the other side in many places: for the rest of a request's head, for room to write, for what is written to
go out before a connection closes. All of it ends here after a time, and then the connection is aborted, not closed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import h11
import structlog
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

from shared.rates import RateLimits

log = structlog.get_logger()

HEAD_SECONDS = 10.0
"""For the head of a request, from its first byte or from the connection's beginning."""
CLOSE_SECONDS = 5.0
"""For the other side to take what is written, and to close."""
SPARE_CONNECTIONS = 50
"""Beyond the bound, so that there is somebody to hear that it is reached."""
MAX_WRITE_BUFFER_BYTES = 256 * 1024
FRAMES_PER_SECOND = 50
FRAME_BURST = 200
"""Control and continuation frames; whole messages are counted by who reads them."""
_WRITE_AT_ONCE = "stagedoor.write_at_once"
"""An extension of a WebSocket's scope: what is sent through ASGI has to wait for its turn, even where there is room."""
_NO_CLOSE_FRAME = 1006
_POLICY_VIOLATION = 1008

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class HttpProtocol(H11Protocol):
    """HTTP/1.1 with a bound on connections (``limit_concurrency``) and a time for a request's head."""

    _waiting_for_head: asyncio.TimerHandle | None = None
    _refusing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, to be served or to be told that there are too many."""
        super().connection_made(cast("asyncio.Transport", transport))
        # uvicorn would ask at each request, would let WebSockets pass, and would refuse /livez.
        limit, self.limit_concurrency = self.limit_concurrency, None
        excess = 0 if limit is None else len(self.connections) - limit
        if excess > SPARE_CONNECTIONS:
            self.transport.abort()
            return
        if excess > 0:
            self._refusing = True
            self.app = _refuse(self.app)
        if excess == 1:
            log.warning("connections_full", limit=limit)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and see what they leave to be waited for."""
        super().data_received(data)
        # The head of the next request, or the rest of a body that was answered without it.
        if self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE:
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        return not self._refusing and super()._should_upgrade()

    def _wait_for_head(self) -> None:
        if self._waiting_for_head is None:
            self._waiting_for_head = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting_for_head is not None:
            self._waiting_for_head.cancel()
            self._waiting_for_head = None


def _refuse(app: App) -> App:
    """Answer 503 to everything but the question whether the process is alive: full is not dead."""
    full = PlainTextResponse("too many connections, try again later\n", 503, {"connection": "close", "retry-after": "5"})

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (app if scope["path"] == "/livez" else full)(scope, receive, send)

    return answer


def write_at_once(scope: MutableMapping[str, Any]) -> Callable[[str], bool]:
    """Return what writes a message to an accepted WebSocket without a wait; False is that this cannot be done now, or here."""
    extension = (scope.get("extensions") or {}).get(_WRITE_AT_ONCE)
    return (lambda _: False) if extension is None else cast("Callable[[str], bool]", extension["write"])


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets that end: a close frame waits for nobody, and who does not take it in time is cut.

    ``websocket.disconnect`` has the code 1006 where the connection was lost, 1005 only where a close frame without a code came,
    and 1008 where the other side sent too many frames.
    """

    _aborting: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._frames = RateLimits(FRAMES_PER_SECOND, FRAME_BURST, keys=1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that no close frame came; one that did was said before."""
        if self._aborting is not None:
            self._aborting.cancel()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": _NO_CLOSE_FRAME})
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Close with 1011: no pong came."""
        super().keepalive_timeout()
        self._abort_soon()

    async def run_asgi(self) -> None:
        """Serve the connection; afterwards nobody waits for it any more."""
        self.scope.setdefault("extensions", {})[_WRITE_AT_ONCE] = {"write": self._write_at_once}
        await super().run_asgi()
        self._abort_soon()

    async def send(self, message: Any) -> None:
        """Send; a close frame goes behind what is written already, though the other side does not read."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    def handle_cont(self, event: Frame) -> None:
        """Take a part of a message; an empty one adds nothing but an entry."""
        if self._counts() and (event.data or event.fin):
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Answer, if the other side takes the answers."""
        if self._counts():
            super().handle_ping()
            if self.transport.get_write_buffer_size() > MAX_WRITE_BUFFER_BYTES:
                self.transport.abort()

    def handle_pong(self, event: Frame) -> None:
        """Hear that the other side is there."""
        if self._counts():
            super().handle_pong(event)

    def _write_at_once(self, text: str) -> bool:
        if self.conn.state is not State.OPEN or self.transport.is_closing() or not self.writable.is_set():
            return False
        self.conn.send_text(text.encode())
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True

    def _counts(self) -> bool:
        """Count a frame; False where it is one too many, or comes after the end."""
        if self.transport.is_closing():
            return False
        if self._frames.take(None, time.monotonic()):
            return True
        self.conn.fail(_POLICY_VIOLATION, "too many control or continuation frames")
        self.handle_parser_exception()
        self._abort_soon()
        return False

    def _abort_soon(self) -> None:
        if self._aborting is None and not self.disconnected:
            self._aborting = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

"""The WebSocket edge: sockets in, sessions out. What a browser sends is bounded, parsed and posted; nothing is decided here."""

import asyncio
import time
from collections.abc import Callable

import structlog
from starlette.types import Message
from starlette.websockets import WebSocket

from services.edge_gateway import protocol
from services.edge_gateway.admission import Admission
from services.edge_gateway.house import House
from services.edge_gateway.items import SocketGone
from services.edge_gateway.protocol import (
    Answer,
    CloseCode,
    InvalidRequestError,
    JoinRequest,
    ProtocolError,
    PublishRequest,
    RequestRefusedError,
    UnpublishRequest,
)
from services.edge_gateway.session import Arrival, Session
from services.edge_gateway.socket import Socket
from shared.contracts.ids import RoomKey
from shared.rates import RateLimits

log = structlog.get_logger()

MESSAGES_PER_SECOND = 50
MESSAGE_BURST = 200
TURNS_PER_SECOND = 2
TURN_BURST = 10
_TAKES_TURNS = PublishRequest | UnpublishRequest | Answer
"""What costs the gateway milliseconds, or everybody in the room an offer."""
_GETS_GRACE = (CloseCode.LOST, CloseCode.NO_PONG, CloseCode.SLOW)
_CLOSED_SECONDS = 5.0


class SocketClosedError(Exception):
    """The browser's socket is closed; the code says how."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Signalling:
    """Serves ``/v1/signal``.

    Args:
        admission: who may come in.
        house: where sessions live; None while the gateway is starting or ending.
        origins: whose pages may connect; empty is everybody's.
        join_timeout: seconds that a new socket has for its join.
    """

    def __init__(self, admission: Admission, house: Callable[[], House | None], origins: frozenset[str], join_timeout: float) -> None:
        self._admission = admission
        self._house = house
        self._origins = origins
        self._join_timeout = join_timeout

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one socket to its end."""
        origin = websocket.headers.get("origin")
        if self._origins and origin not in self._origins:
            log.info("origin_refused", origin=(origin or "")[:200])
            await websocket.close(CloseCode.PROTOCOL)
            return
        await websocket.accept()
        socket = Socket(websocket)
        writing = asyncio.create_task(socket.write())
        try:
            await self._converse(websocket, socket, writing)
        finally:
            socket.close(CloseCode.ENDED)
            await asyncio.wait({writing}, timeout=_CLOSED_SECONDS)
            writing.cancel()

    async def _converse(self, websocket: WebSocket, socket: Socket, writing: asyncio.Task[int]) -> None:
        reader = _Reader(websocket, writing)
        session: Session | None = None
        code: int = CloseCode.LOST
        try:
            session = await self._admit(websocket, reader, socket)
            while True:
                await self._take(reader, socket, session)
        except SocketClosedError as closed:
            code = closed.code
        except TimeoutError:
            code = CloseCode.TIMEOUT
            socket.close(code)
        except RequestRefusedError:
            code = CloseCode.JOIN_REFUSED
            socket.close(code)
        except ProtocolError as error:
            code = CloseCode.PROTOCOL
            socket.send(protocol.problem(str(error)))
            socket.close(code)
        except _FloodError:
            code = CloseCode.FLOOD
            socket.close(code)
        finally:
            if session is not None:
                session.post(SocketGone(_as_the_session_hears_it(code)))

    async def _admit(self, websocket: WebSocket, reader: "_Reader", socket: Socket) -> Session:
        async with asyncio.timeout(self._join_timeout):
            text = await reader.read()
        try:
            request = protocol.parse(text)
            if not isinstance(request, JoinRequest):
                raise ProtocolError("the first message is a join")
        except InvalidRequestError as error:
            socket.send(protocol.refusal(error.request_id, error))
            raise
        address = websocket.client.host if websocket.client else ""
        house = self._house()
        try:
            self._admission.check(request, address, unix_time=time.time(), monotonic=time.monotonic(), ready=house is not None)
        except RequestRefusedError as error:
            log.info("join_refused", app=request.app, code=error.code, extra=error.extra, reason=error.message)
            socket.send(protocol.refusal(request.id, error))
            raise
        assert house is not None
        arrival = Arrival(RoomKey(request.app, request.room), request.user, request.effective_role, request.id)
        return Session(house, arrival, socket)

    async def _take(self, reader: "_Reader", socket: Socket, session: Session) -> None:
        text = await reader.read()
        try:
            message = protocol.parse(text)
        except InvalidRequestError as error:
            socket.send(protocol.refusal(error.request_id, error))
            return
        if isinstance(message, _TAKES_TURNS):
            await reader.wait_for_turn()
        session.post(message)


def _as_the_session_hears_it(code: int) -> int:
    """Say in one of three codes how a socket ended: lost, closed with the gateway, or left. Who breaks the protocol has left."""
    if code in _GETS_GRACE:
        return CloseCode.LOST
    return CloseCode.GOING_AWAY if code == CloseCode.GOING_AWAY else CloseCode.ENDED


class _FloodError(Exception):
    """More messages than a client has reason to send."""


class _Reader:
    """Text messages of one socket, counted, until one of its halves ends."""

    def __init__(self, websocket: WebSocket, writing: asyncio.Task[int]) -> None:
        self._websocket = websocket
        self._writing = writing
        self._limits = RateLimits(MESSAGES_PER_SECOND, MESSAGE_BURST, keys=1)
        self._turns = RateLimits(TURNS_PER_SECOND, TURN_BURST, keys=1)

    async def read(self) -> str:
        """Return the next message.

        Raises:
            SocketClosedError: there is none any more.
            ProtocolError: it is not text.
            _FloodError: it is one too many.
        """
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise SocketClosedError(message["code"])
        if not self._limits.take(None, time.monotonic()):
            raise _FloodError
        text = message.get("text")
        if text is None:
            raise ProtocolError("messages are text frames")
        return str(text)

    async def wait_for_turn(self) -> None:
        """Wait until this client may cause work again. What it sends meanwhile stays with it."""
        while not self._turns.take(None, time.monotonic()):  # noqa: ASYNC110 -- what is waited for is time
            await asyncio.sleep(1 / TURNS_PER_SECOND)

    async def _receive(self) -> Message:
        receiving = asyncio.create_task(self._websocket.receive())
        try:
            await asyncio.wait({receiving, self._writing}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                return receiving.result()
        finally:
            receiving.cancel()
        raise SocketClosedError(self._writing.result())

"""The WebSocket edge: sockets in, sessions out. What a browser sends is bounded, parsed and posted; nothing is decided here."""

import asyncio
import time
from collections.abc import Callable

import structlog
from starlette.types import Message
from starlette.websockets import WebSocket

from services.edge_gateway import protocol
from services.edge_gateway.admission import Admission
from services.edge_gateway.arrival import Arrival, joining, resuming
from services.edge_gateway.house import House
from services.edge_gateway.items import SocketGone
from services.edge_gateway.protocol import (
    Answer,
    CloseCode,
    InvalidRequestError,
    JoinRequest,
    MuteRequest,
    ProtocolError,
    PublishRequest,
    ReconnectRequest,
    RequestRefusedError,
    RestartIceRequest,
    ResumeRequest,
    SwitchRoleRequest,
    UnpublishRequest,
)
from services.edge_gateway.session import Session
from services.edge_gateway.socket import Socket
from shared.contracts.ids import RoomKey
from shared.rates import RateLimits

log = structlog.get_logger()

MESSAGES_PER_SECOND = 50
MESSAGE_BURST = 200
TURNS_PER_SECOND = 2
TURN_BURST = 10
_TAKES_TURNS = PublishRequest | UnpublishRequest | MuteRequest | SwitchRoleRequest | ReconnectRequest | RestartIceRequest | Answer
"""What costs the gateway milliseconds, or everybody in the room an offer, a message or a commit."""
_LOST = (CloseCode.LOST, CloseCode.NO_PONG, CloseCode.SLOW, CloseCode.GOING_AWAY)
"""Who went like that may come again. Browsers never say that they are going away so; gateways do, and proxies."""
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
        house: where sessions live; None while the gateway takes none.
        origins: whose pages may connect; empty is everybody's.
        join_timeout: seconds that a new socket has for its first message.
        refused: told of each join and resume that is refused here, and of the error's code.
    """

    def __init__(
        self,
        admission: Admission,
        house: Callable[[], House | None],
        origins: frozenset[str],
        join_timeout: float,
        refused: Callable[[str, str], None],
    ) -> None:
        self._admission = admission
        self._house = house
        self._origins = origins
        self._join_timeout = join_timeout
        self._refused = refused

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
                # Who breaks the protocol has left.
                session.post(SocketGone(lost=code in _LOST))

    async def _admit(self, websocket: WebSocket, reader: "_Reader", socket: Socket) -> Session:
        async with asyncio.timeout(self._join_timeout):
            text = await reader.read()
        try:
            request = protocol.parse(text)
            if not isinstance(request, JoinRequest | ResumeRequest):
                raise ProtocolError("the first message is a join or a resume")
        except InvalidRequestError as error:
            socket.send(protocol.refusal(error.request_id, error))
            raise
        house = self._house()
        try:
            arrival = self._check(request, websocket.client.host if websocket.client else "", house)
        except RequestRefusedError as error:
            self._refused(request.type, error.code)
            log.info("arrival_refused", type=request.type, app=request.app, code=error.code, extra=error.extra, reason=error.message)
            socket.send(protocol.refusal(request.id, error))
            raise
        assert house is not None
        return Session(house, arrival, socket)

    def _check(self, request: JoinRequest | ResumeRequest, address: str, house: House | None) -> Arrival:
        now, ready = time.monotonic(), house is not None
        if isinstance(request, ResumeRequest):
            self._admission.check_resume(request, address, monotonic=now, ready=ready)
            return resuming(request)
        self._admission.check_join(request, address, unix_time=time.time(), monotonic=now, ready=ready)
        assert house is not None
        session = house.new_id()
        return joining(request, session, house.new_token(RoomKey(request.app, request.room), session))

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

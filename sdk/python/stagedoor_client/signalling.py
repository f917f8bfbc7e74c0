"""A session over one WebSocket at a time."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Message = dict[str, Any]
PATH = "/v1/signal"
_SCHEMES = {"http": "ws", "https": "wss"}


class RefusedError(Exception):
    """The gateway answered a request with an error.

    ``reason`` and ``correlation`` say how the session ended and under which id the cause is found, where the code is ``session_ended``;
    ``client_banned`` holds the words for the application, as in ``ended``. Each is None where the error has none.
    """

    def __init__(self, error: Message) -> None:
        super().__init__(f"{error['code']} ({error['extra']}): {error['message']}")
        self.code: str = error["code"]
        self.extra: int = error["extra"]
        self.retry: bool = error["retry"]
        self.reason: str | None = error.get("reason")
        self.correlation: str | None = error.get("correlation")
        self.client_banned: Message | None = error.get("client_banned")


class ClosedError(Exception):
    """The socket is closed; ``code`` is its close code (1006: without a close frame)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class SignallingClient:
    """A session's signalling over one socket: requests with their replies, and a queue of all else.

    Made by :meth:`open`. What the gateway says by itself is in :attr:`messages`, in order; ``None`` is its end. :attr:`session`,
    :attr:`token` and :attr:`attachment` (from 1, one more with each resume) are what a join or a resume gave. So are
    :attr:`ice_servers`, for peer connections that are made within :attr:`ice_seconds`.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self.session = ""
        self.token = ""
        self.attachment = 0
        self.ice_servers: list[Message] = []
        self.ice_seconds = 0
        self._last_id = 0
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, gateway: str, **options: Any) -> AsyncIterator["SignallingClient"]:
        """Connect to a gateway (``ws://host:port`` or ``http://...``); the socket closes with the block, as a tab would, if it was not cut.

        ``options`` are those of :func:`websockets.asyncio.client.connect`.
        """
        scheme, _, rest = gateway.rstrip("/").partition("://")
        async with connect(f"{_SCHEMES.get(scheme, scheme)}://{rest}{PATH}", **options) as connection:
            client = cls(connection)
            reading = asyncio.create_task(client._read())
            try:
                yield client
            finally:
                await connection.close(1001)
                await reading

    async def join(
        self, *, app: int, user: str, sig: str, room: int | str, role: str = "anchor", mode: str = "rtc", yields: bool = False
    ) -> Message:
        """Join; returns the roster and the streams. Who ``yields`` replaces no other session of the user.

        Raises:
            RefusedError: the gateway says no.
            ClosedError: the socket closed before an answer.
        """
        fields = {"app": app, "user": user, "sig": sig, "room": room, "role": role, "mode": mode}
        result = await self.request("join", protocol=1, **fields, **({"yields": True} if yields else {}))
        self._attach(result, result["token"])
        return result

    async def resume(
        self, *, app: int, room: int | str, session: str, token: str, mode: str = "live", attachment: int | None = None
    ) -> Message:
        """Take on a session whose former socket was lost, on a fresh one; returns what is there now. Raises as :meth:`join`.

        ``attachment`` is the former socket's, where that may have been another gateway's.
        """
        fields = {"app": app, "room": room, "session": session, "token": token, "mode": mode}
        result = await self.request("resume", protocol=1, **fields, **({} if attachment is None else {"attachment": attachment}))
        self._attach(result, token)
        return result

    async def switch_role(self, role: str) -> None:
        """Become ``anchor`` or ``audience``; raises as :meth:`join`."""
        await self.request("switch_role", role=role)

    async def request(self, name: str, /, **fields: Any) -> Message:
        """Send a request and wait for its reply; raises as :meth:`join`."""
        self._last_id += 1
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = self._last_id
        self._replies[number] = reply
        try:
            await self.send({"type": name, "id": number, **fields})
            result: Message = await reply
        finally:
            self._replies.pop(number, None)
            if not reply.cancel() and not reply.cancelled():
                # Where sending has failed, the reply has, too, and nobody else looks at it.
                reply.exception()
        return result

    async def send(self, message: Message) -> None:
        """Send any message.

        Raises:
            ClosedError: the socket is closed.
        """
        try:
            await self.connection.send(json.dumps(message, ensure_ascii=False))
        except ConnectionClosed as closed:
            raise ClosedError(_code(closed)) from closed

    async def expect(self, kind: str) -> Message:
        """Take messages until one of a kind comes, and return it.

        Raises:
            ClosedError: the socket closed before.
        """
        while (message := await self.messages.get()) is not None:
            if message["type"] == kind:
                return message
        raise ClosedError(await self.closed())

    async def leave(self) -> None:
        """Leave; the gateway closes the socket afterwards."""
        await self.request("leave")

    async def acknowledge(self) -> None:
        """Say that the application was told of the session's end."""
        await self.send({"type": "ended_ack"})

    async def renew_ice_servers(self) -> list[Message]:
        """Ask for TURN servers with fresh credentials, as RTCPeerConnection takes them; raises as :meth:`join`."""
        self._note_relays(await self.request("ice_servers"))
        return self.ice_servers

    def cut(self) -> None:
        """Lose the socket: the TCP connection ends without a close frame, and what was not sent is dropped."""
        self.connection.transport.abort()

    async def closed(self) -> int:
        """Wait for the socket's end and return its close code."""
        return await asyncio.shield(self._closed)

    def _attach(self, result: Message, token: str) -> None:
        self.session, self.token, self.attachment = result["session"], token, result["attachment"]
        self._note_relays(result)

    def _note_relays(self, result: Message) -> None:
        self.ice_servers, self.ice_seconds = result.get("ice_servers", []), result.get("ice_seconds", 0)

    async def _read(self) -> None:
        try:
            async for text in self.connection:
                self._take(json.loads(text))
        except ConnectionClosed:
            pass
        except (ValueError, LookupError, TypeError) as error:
            # Not what docs/protocol.md says: nothing that follows can be trusted.
            await self.connection.close(1002, f"not a message: {type(error).__name__}")
        finally:
            self._end()

    def _end(self) -> None:
        code = self.connection.close_code or 1006
        self._closed.set_result(code)
        self.messages.put_nowait(None)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(ClosedError(code))

    def _take(self, message: Message) -> None:
        if message["type"] == "reply":
            self._resolve(message)
        else:
            self.messages.put_nowait(message)

    def _resolve(self, message: Message) -> None:
        error = message.get("error")
        reply = self._replies.get(message["id"])
        if reply is None or reply.done():
            # Nobody waits for it any more.
            return
        if error is None:
            reply.set_result(message["result"])
        else:
            reply.set_exception(RefusedError(error))


def _code(closed: ConnectionClosed) -> int:
    return closed.rcvd.code if closed.rcvd else 1006

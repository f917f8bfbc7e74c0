"""Many WebSockets in one process, as light as they can be: the machine is for what is measured.

Run by the measurements. Told on standard input where to connect, and as whom; says on standard output when all are in, and
then each time that all of them have heard one more ``ended``, with the monotonic time of the last.
"""

import asyncio
import json
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import uvloop

from bench.installation import APP, user_sig

_AT_ONCE = 32
_JOIN_SECONDS = 30.0
_TEXT, _PING, _PONG = 1, 9, 10
_UPGRADE = (
    "GET /v1/signal HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(frozen=True)
class Orders:
    """What a crowd is told."""

    host: str
    port: int
    first: int
    """Number of the first one; each is a user of its own."""
    count: int
    room: int | None
    """Where they join as audience; None, they only connect."""


class Socket(asyncio.Protocol):
    """One of them."""

    def __init__(self, orders: Orders, number: int, on_ended: Callable[[], None]) -> None:
        self.here: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._orders = orders
        self._number = number
        self._on_ended = on_ended
        self._buffer = bytearray()
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(_UPGRADE.format(host=self._orders.host, port=self._orders.port).encode())

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer += data
        if not self._upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self._fail(f"no upgrade: {self._buffer[:end].decode(errors='replace')}")
                return
            del self._buffer[: end + 4]
            self._upgraded = True
            self._begin()
        while (frame := self._next_frame()) is not None:
            self._take(*frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail, if it was not in yet."""
        self._fail(f"connection lost: {exc}")

    def _begin(self) -> None:
        if self._orders.room is None:
            self.here.set_result(None)
            return
        user = f"crowd-{self._number}"
        join = {"type": "join", "id": 1, "protocol": 1, "app": APP.sdk_app_id, "user": user, "sig": user_sig(user)}
        self._send(_TEXT, json.dumps(join | {"room": self._orders.room, "role": "audience", "mode": "live"}).encode())

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Take a whole frame of the server's, which has no mask, out of the buffer."""
        buffer = self._buffer
        if len(buffer) < 4:
            return None
        start, length = 2, buffer[1]
        if length == 126:
            start, length = 4, int.from_bytes(buffer[2:4], "big")
        if len(buffer) < start + length:
            return None
        payload = bytes(buffer[start : start + length])
        opcode = buffer[0] & 15
        del buffer[: start + length]
        return opcode, payload

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._send(_PONG, payload)
        elif opcode == _TEXT:
            message = json.loads(payload)
            if message["type"] == "ended":
                self._on_ended()
                if self._orders.room is not None:
                    self._send(_TEXT, b'{"type":"ended_ack"}')
            elif message["type"] == "reply" and not self.here.done():
                if "error" in message:
                    self._fail(str(message["error"]))
                else:
                    self.here.set_result(None)

    def _send(self, opcode: int, payload: bytes) -> None:
        # With a mask of zeros, which changes nothing: a lawful one, and nothing between here and there needs another.
        size = bytes([128 + len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
        self._transport.write(bytes([128 + opcode]) + size + bytes(4) + payload)

    def _fail(self, reason: str) -> None:
        if not self.here.done():
            self.here.set_exception(RuntimeError(reason))


async def main() -> None:
    """Come in, then say what is heard, until the process is ended."""
    orders = Orders(**json.loads(await asyncio.to_thread(sys.stdin.readline)))
    heard = 0

    def on_ended() -> None:
        nonlocal heard
        heard += 1
        if heard % orders.count == 0:
            say(time.monotonic())

    numbers = iter(range(orders.first, orders.first + orders.count))

    async def come_in() -> None:
        loop = asyncio.get_running_loop()
        for number in numbers:
            _, socket = await loop.create_connection(partial(Socket, orders, number, on_ended), orders.host, orders.port)
            async with asyncio.timeout(_JOIN_SECONDS):
                await socket.here

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(come_in())
    except* (RuntimeError, OSError) as errors:
        sys.exit(f"crowd: {errors.exceptions[0] or 'no answer in time'}")
    say(orders.count)
    await asyncio.Event().wait()


def say(value: float) -> None:
    """Write a line."""
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    uvloop.run(main())

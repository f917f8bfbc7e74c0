"""A TURN client (RFC 8656) that shows what the server says, as far as tests ask."""

import asyncio
import contextlib
import hashlib
import socket
import struct
from collections.abc import AsyncIterator

from aioice import stun

PATIENCE = 10.0
_UDP = 17 << 24
_CHANNEL = 0x4000


class TurnClient:
    """One allocation, or the try of one. Made by :meth:`open`."""

    def __init__(self, sock: socket.socket, username: str, password: str) -> None:
        self._sock = sock
        self._username = username
        self._password = password
        self._realm = ""
        self._nonce = b""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: tuple[str, int], username: str, password: str) -> AsyncIterator["TurnClient"]:
        """Use a socket of its own until the block ends."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(server)
            yield cls(sock, username, password)

    async def allocate(self) -> int:
        """Ask for a relay; returns 0, or the number of the error."""
        request = stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST)
        request.attributes["REQUESTED-TRANSPORT"] = _UDP
        challenge = await self._exchange(request)
        self._realm, self._nonce = challenge.attributes["REALM"], challenge.attributes["NONCE"]
        request = stun.Message(stun.Method.ALLOCATE, stun.Class.REQUEST)
        request.attributes["REQUESTED-TRANSPORT"] = _UDP
        return await self._ask(request)

    async def permit(self, peer: tuple[str, int]) -> int:
        """Ask to hear a peer; returns 0, or the number of the error."""
        request = stun.Message(stun.Method.CREATE_PERMISSION, stun.Class.REQUEST)
        request.attributes["XOR-PEER-ADDRESS"] = peer
        return await self._ask(request)

    async def bind(self, peer: tuple[str, int]) -> int:
        """Ask for a channel to a peer; returns 0, or the number of the error."""
        request = stun.Message(stun.Method.CHANNEL_BIND, stun.Class.REQUEST)
        request.attributes["CHANNEL-NUMBER"] = _CHANNEL
        request.attributes["XOR-PEER-ADDRESS"] = peer
        return await self._ask(request)

    def send(self, data: bytes) -> None:
        """Send through the channel."""
        self._sock.send(struct.pack("!HH", _CHANNEL, len(data)) + data)

    async def answer(self) -> stun.Message:
        """Wait for a STUN response that comes through the channel."""
        while not (received := await self._receive()).startswith(struct.pack("!H", _CHANNEL)) or received[4] > 3:
            pass
        return stun.parse_message(received[4 : 4 + int.from_bytes(received[2:4], "big")])

    async def _ask(self, request: stun.Message) -> int:
        request.attributes["USERNAME"] = self._username
        request.attributes["NONCE"] = self._nonce
        request.attributes["REALM"] = self._realm
        request.add_message_integrity(hashlib.md5(f"{self._username}:{self._realm}:{self._password}".encode()).digest())  # noqa: S324 -- RFC 8489, 9.2.2
        response = await self._exchange(request)
        return response.attributes["ERROR-CODE"][0] if "ERROR-CODE" in response.attributes else 0

    async def _exchange(self, request: stun.Message) -> stun.Message:
        self._sock.send(bytes(request))
        while True:
            data = await self._receive()
            if data[0] < 4 and data[8:20] == request.transaction_id:
                return stun.parse_message(data)

    async def _receive(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self._sock, 4096)

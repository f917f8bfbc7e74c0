"""A client's UDP, carried over TCP: aiortc knows no ICE-TCP, so this speaks it (RFC 4571) for aiortc."""

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator


class Bridge(asyncio.DatagramProtocol):
    """Takes UDP, and opens one TCP connection to the gateway for each address that it comes from."""

    def __init__(self, host: str, port: int) -> None:
        self.writers: dict[tuple[str, int], asyncio.StreamWriter] = {}
        self.down: list[bytes] = []
        """First bytes of what came back, in order."""
        self._gateway = (host, port)
        self._waiting: dict[tuple[str, int], list[bytes]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._transport: asyncio.DatagramTransport

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator["Bridge"]:
        """Run one on the loopback interface."""
        loop = asyncio.get_running_loop()
        transport, bridge = await loop.create_datagram_endpoint(lambda: cls("127.0.0.1", port), ("127.0.0.1", 0))
        try:
            yield bridge
        finally:
            transport.close()
            for task in bridge._tasks:
                task.cancel()
            await asyncio.gather(*bridge._tasks, return_exceptions=True)

    def over(self, sdp: str) -> str:
        """Lead a client here instead of to the gateway's TCP candidate."""
        port = self._transport.get_extra_info("sockname")[1]
        (tcp,) = re.findall(r"a=candidate:\S+ 1 tcp \d+ (\S+) (\d+) typ host tcptype passive\r\n", sdp)
        assert tcp == (self._gateway[0], str(self._gateway[1]))
        return re.sub(r"(a=candidate:\S+ 1 udp \d+ \S+) \d+ typ", rf"\g<1> {port} typ", sdp)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        """Begin."""
        self._transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """Carry it there."""
        if address not in self._waiting:
            self._waiting[address] = []
            self._tasks.append(asyncio.create_task(self._carry(address)))
        if (writer := self.writers.get(address)) is not None:
            writer.write(frame(data))
        else:
            self._waiting[address].append(data)

    async def _carry(self, address: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*self._gateway)
        self.writers[address] = writer
        try:
            for data in self._waiting[address]:
                writer.write(frame(data))
            while True:
                data = await read_frame(reader)
                self.down.append(data[:1])
                self._transport.sendto(data, address)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.down.append(b"")
        finally:
            writer.close()


def frame(data: bytes) -> bytes:
    """Put its length before a datagram."""
    return struct.pack("!H", len(data)) + data


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Read one datagram."""
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))

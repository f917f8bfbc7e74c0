"""A wire between a browser and the gateway that can be cut."""

import asyncio
import contextlib


class Wire:
    """Carries TCP connections to a port of 127.0.0.1, except while it is cut.

    It listens on the same port of ::1: a page of ``http://localhost:PORT/`` comes through it and keeps its origin.
    """

    def __init__(self, port):
        self.url = f"http://localhost:{port}/"
        self.carried = 0
        self._port = port
        self._writers = set()
        self._swallowed = set()
        self._server = None
        self._whole = asyncio.Event()
        self._whole.set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._carry, "::1", self._port)
        return self

    async def __aexit__(self, *_error):
        self._server.close()
        self.cut()
        # Those who were waiting find that their connections have ended.
        self.mend()

    def cut(self):
        """End all connections without a word more; what others say arrives when it is mended."""
        self._whole.clear()
        for writer in self._writers:
            writer.transport.abort()

    def swallow(self):
        """Carry nothing any more over the connections that there are, which stay open; new ones are well."""
        self._swallowed |= self._writers

    def mend(self):
        """Carry connections again."""
        self._whole.set()

    async def _carry(self, reader, writer):
        ends = {writer}
        self._writers |= ends
        try:
            await self._whole.wait()
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
            ends |= {there_writer}
            self._writers |= ends
            self.carried += 1
            await asyncio.gather(self._pipe(reader, there_writer), self._pipe(there_reader, writer))
        finally:
            self._writers -= ends
            self._swallowed -= ends

    async def _pipe(self, reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if writer not in self._swallowed:
                    writer.write(data)
                    await writer.drain()
        writer.close()

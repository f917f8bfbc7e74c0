"""A wire between a browser and the gateway that can be cut."""

import asyncio
import contextlib


class Wire:
    """Carries TCP connections to a port of 127.0.0.1, until it is cut.

    It listens on the same port of ::1: a page of ``http://localhost:PORT/`` comes through it and keeps its origin.
    """

    def __init__(self, port):
        self.url = f"http://localhost:{port}/"
        self.carried = 0
        self._port = port
        self._writers = set()
        self._server = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._carry, "::1", self._port)
        return self

    async def __aexit__(self, *_error):
        self.cut()

    def cut(self):
        """End all connections without a word more, and take no others."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.carried += 1
        ends = {writer, there_writer}
        self._writers |= ends
        try:
            await asyncio.gather(_pipe(reader, there_writer), _pipe(there_reader, writer))
        finally:
            self._writers -= ends


async def _pipe(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()

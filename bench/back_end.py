"""An application's back end: signs requests to the server API as the vendor's libraries do, over one kept connection.

Signing comes before the clock starts, sending is one write: what is measured is the service, not an HTTP library.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from bench.installation import API_SECRET, APP, SECRET_ID
from tests.admin_api.support import sign


class BackEnd:
    """One connection. Made by :meth:`connect`."""

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, address: str) -> AsyncIterator["BackEnd"]:
        """Connect to ``http://host:port``; the connection closes with the block."""
        host = address.removeprefix("http://")
        name, _, port = host.partition(":")
        reader, writer = await asyncio.open_connection(name, int(port))
        try:
            yield cls(host, reader, writer)
        finally:
            writer.close()

    def prepare(self, action: str, **fields: object) -> bytes:
        """Build a signed request."""
        body = json.dumps({"SdkAppId": APP.sdk_app_id} | fields).encode()
        headers = sign("POST", "", body, host=self._host, action=action, secret_id=SECRET_ID, secret_key=API_SECRET)
        return self.post("/", body, headers)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Build a request; ``headers`` has the host."""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def send(self, request: bytes) -> None:
        """Send a request; :meth:`answer` follows."""
        self._writer.write(request)

    async def answer(self) -> dict[str, Any]:
        """Wait for the answer to the last request, and return its ``Response``.

        Raises:
            RuntimeError: the answer is an error.
        """
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        response: dict[str, Any] = json.loads(await self._reader.readexactly(length))["Response"]
        if "Error" in response:
            raise RuntimeError(f"the server API refuses: {response['Error']}")
        return response

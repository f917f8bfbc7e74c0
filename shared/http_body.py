"""Reading the body of a request: no more of it, and no longer, than the caller says."""

import asyncio

from starlette.requests import Request


class BodyTooLargeError(Exception):
    """The body has more bytes than it may have."""


async def read_body(request: Request, most: int, seconds: float, *, discard: int = 0) -> bytes:
    """Read a body.

    Args:
        request: whose body it is.
        most: bytes that it may have.
        seconds: time that it may take.
        discard: bytes up to which a body that is too large is read and thrown away, for clients that hear the answer only when
            they have sent all.

    Raises:
        BodyTooLargeError: it has more than ``most`` bytes.
        TimeoutError: it was not complete in time.
        ClientDisconnect: the client hung up.
    """
    body = bytearray()
    size = 0
    async with asyncio.timeout(seconds):
        async for chunk in request.stream():
            size += len(chunk)
            if size <= most:
                body += chunk
            elif size > discard:
                break
    if size > most:
        raise BodyTooLargeError
    return bytes(body)

"""Copying a stream out of JetStream and back, by the server's own means: its configuration, and an archive of its messages."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus.unavailable import or_unavailable
from shared.contracts.errors import ConfigurationError, UnavailableError

CHUNK_BYTES = 128 * 1024
_WINDOW_BYTES = 8 * 1024 * 1024
_SECONDS = 30.0
"""For one answer, or one part: a large archive takes the server a while to begin."""
_STREAM_NOT_FOUND = 10059
_NAME_IN_USE = 10130
"""Where a stream is to be restored."""


class StreamCopy(NamedTuple):
    """What the server says of a stream when it begins to copy it."""

    config: dict[str, Any]
    state: dict[str, Any]


@contextlib.asynccontextmanager
async def copying_out(connection: Client, stream: str) -> AsyncIterator[tuple[StreamCopy, AsyncIterator[bytes]]]:
    """Have the server copy a stream: yields what it is, and the parts of its archive, which may be read once, in the block.

    Raises:
        ConfigurationError: there is no such stream.
        UnavailableError: JetStream does not answer, or breaks off.
    """
    inbox = connection.new_inbox()
    parts: asyncio.Queue[Msg] = asyncio.Queue()
    with or_unavailable(f"copying {stream}"):
        subscription = await connection.subscribe(inbox, cb=parts.put, pending_bytes_limit=2 * _WINDOW_BYTES)
        try:
            wanted = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": CHUNK_BYTES, "window_size": _WINDOW_BYTES}
            answer = await _ask(connection, f"$JS.API.STREAM.SNAPSHOT.{stream}", wanted)
            yield StreamCopy(answer["config"], answer["state"]), _read(stream, parts)
        finally:
            await subscription.unsubscribe()


async def copy_in(connection: Client, stream: str, copy: StreamCopy, parts: Iterable[bytes]) -> int:
    """Have the server make a stream of a copy. Returns how many messages it has.

    Raises:
        ConfigurationError: there is a stream of that name already.
        UnavailableError: JetStream does not answer, or does not take the copy.
    """
    with or_unavailable(f"restoring {stream}"):
        where = (await _ask(connection, f"$JS.API.STREAM.RESTORE.{stream}", copy._asdict()))["deliver_subject"]
        for part in parts:
            if (said := (await connection.request(where, part, timeout=_SECONDS)).data) and b"error" in said:
                raise UnavailableError(f"restoring {stream}: {said.decode(errors='replace')[:200]}")
        made = _read_answer(await connection.request(where, b"", timeout=_SECONDS))
    return int(made["state"]["messages"])


async def _read(stream: str, parts: asyncio.Queue[Msg]) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(_SECONDS):
            message = await parts.get()
        if not message.data:
            if (status := (message.headers or {}).get("Status", "204")) != "204":
                raise UnavailableError(f"copying {stream}: the server broke off with {status}")
            return
        yield message.data
        if message.reply:
            # The server keeps no more than a window under way.
            await message.respond(b"")


async def _ask(connection: Client, subject: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return _read_answer(await connection.request(subject, json.dumps(wanted).encode(), timeout=_SECONDS))


def _read_answer(message: Msg) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(message.data)
    if (error := answer.get("error")) is None:
        return answer
    text = str(error.get("description", "the server refuses"))
    if error.get("err_code") in (_STREAM_NOT_FOUND, _NAME_IN_USE):
        raise ConfigurationError(text)
    raise UnavailableError(text)

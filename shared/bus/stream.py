"""The stream of events: created once, read by everybody, written by the registry's ledger only."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from shared.bus.unavailable import or_unavailable
from shared.contracts.errors import ConfigurationError, UnavailableError
from shared.contracts.subjects import PARTITIONS_METADATA, REPUBLISH_DESTINATION, REPUBLISH_SOURCE, STREAM

SEQUENCE_HEADER = "Nats-Sequence"
_SUBJECT_HEADER = "Nats-Subject"
_STATUS_HEADER = "Status"
log = structlog.get_logger()

_READ_BATCH = 256
_READ_SECONDS = 5.0
_RETRY_SECONDS = 0.2
_NAME_IN_USE = 10058
"""There is one of that name with another configuration, an operator's: it is left as it is."""


class Stored(NamedTuple):
    """One message of the stream."""

    seq: int
    """Its sequence in the stream."""
    subject: str
    data: bytes
    headers: Mapping[str, str] | None = None


class EventStream:
    """The stream, over one connection."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=_READ_SECONDS)
        self.info: api.StreamInfo | None = None
        """What the leader said last."""

    async def ensure(self, partitions: int, *, replicas: int = 1, max_bytes: int = -1) -> int:
        """Create the stream where it is missing. Returns how many partitions it has, which may be another number.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        config = api.StreamConfig(
            name=STREAM,
            subjects=[REPUBLISH_SOURCE],
            storage=api.StorageType.FILE,
            retention=api.RetentionPolicy.LIMITS,
            # A full stream refuses what is new; nothing committed is thrown away.
            discard=api.DiscardPolicy.NEW,
            max_bytes=max_bytes,
            num_replicas=replicas,
            allow_direct=True,
            republish=api.RePublish(src=REPUBLISH_SOURCE, dest=REPUBLISH_DESTINATION),
            metadata={PARTITIONS_METADATA: str(partitions)},
        )
        try:
            return await self.partitions()
        except NotFoundError:
            await ensure_stream(self._connection, config)
        return await self.partitions()

    async def partitions(self) -> int:
        """Read the number of partitions from the stream's metadata.

        Raises:
            NotFoundError: there is no stream yet.
            ConfigurationError: there is one, but it is not ours.
            UnavailableError: JetStream does not answer.
        """
        info = await self._info()
        value = (info.config.metadata or {}).get(PARTITIONS_METADATA, "")
        if not value.isdecimal() or not 1 <= int(value) <= 1024:
            raise ConfigurationError(f"the stream {STREAM} has no {PARTITIONS_METADATA} in its metadata: it was not made by Stagedoor")
        return int(value)

    async def wait_for_partitions(self) -> int:
        """Read the number of partitions, as soon as a registry has made the stream.

        Raises:
            ConfigurationError: there is a stream of that name, but it is not ours.
        """
        while True:
            try:
                return await self.partitions()
            except NotFoundError:
                log.info("stream_waits", reason="no registry has made the event stream yet")
            except UnavailableError as error:
                log.warning("stream_waits", reason=str(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def last_seq(self) -> int:
        """Ask the stream's leader for the sequence of the last message, 0 where there is none.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        return (await self._info()).state.last_seq

    async def begins_at(self) -> int:
        """Ask the stream's leader for the sequence of the first message that is still there; 1 where nothing was deleted.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        return max(1, (await self._info()).state.first_seq)

    async def read(self, after: int, until: int) -> AsyncIterator[Stored]:
        """Read messages in order: those with a sequence above ``after``, up to ``until``.

        Raises:
            UnavailableError: JetStream does not answer; what came before was yielded.
        """
        while after < until:
            batch = await read_batch(self._connection, STREAM, REPUBLISH_SOURCE, after, min(_READ_BATCH, until - after))
            if not batch:
                # A replica that lags answers with less than the leader has.
                raise UnavailableError(f"the stream shows nothing after {after} yet, though {until} is committed")
            for stored in batch:
                if stored.seq > until:
                    return
                yield stored
                after = stored.seq

    async def _info(self) -> api.StreamInfo:
        """Raises NotFoundError, or UnavailableError where JetStream does not answer."""
        missing: NotFoundError
        with or_unavailable("JetStream does not answer"):
            try:
                self.info = await self._js.stream_info(STREAM)
            except NotFoundError as error:
                missing = error
            else:
                return self.info
        raise missing


async def ensure_stream(connection: Client, config: api.StreamConfig) -> None:
    """Create a stream where it is missing.

    Raises:
        UnavailableError: JetStream does not answer.
    """
    with or_unavailable(f"the stream {config.name} could not be created"):
        try:
            await connection.jetstream(timeout=_READ_SECONDS).add_stream(config)
        except APIError as error:
            if error.err_code != _NAME_IN_USE:
                raise


async def read_batch(connection: Client, stream: str, subject: str, after: int, size: int) -> list[Stored]:
    """Read up to ``size`` messages of a stream on a subject, in order, with sequences above ``after``.

    nats-py reads one message a request; the server gives a batch of them (NATS ADR-31).

    Raises:
        UnavailableError: JetStream does not answer.
    """
    request = {"seq": after + 1, "next_by_subj": subject, "batch": size}
    inbox = connection.new_inbox()
    replies: asyncio.Queue[Msg] = asyncio.Queue(maxsize=size + 1)

    async def collect(message: Msg) -> None:
        replies.put_nowait(message)

    batch: list[Stored] = []
    with or_unavailable(f"reading the stream {stream}"):
        subscription = await connection.subscribe(inbox, cb=collect)
        try:
            await connection.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
            while True:
                async with asyncio.timeout(_READ_SECONDS):
                    message = await replies.get()
                headers = message.headers or {}
                if (status := headers.get(_STATUS_HEADER)) is not None:
                    if status in ("204", "404"):
                        return batch
                    raise UnavailableError(f"reading the stream {stream}: status {status}")
                batch.append(Stored(int(headers[SEQUENCE_HEADER]), headers[_SUBJECT_HEADER], message.data, headers))
        finally:
            # Without a connection there is nothing to unsubscribe from.
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

"""The stream of receipts: written by gateways, read by whoever sent the command, or asks later."""

import contextlib
from collections.abc import AsyncIterator

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from pydantic import ValidationError

from shared.bus.stream import ensure_stream, read_batch
from shared.bus.unavailable import or_unavailable
from shared.clients.gathering import Gathering
from shared.contracts.receipts import Receipt
from shared.contracts.subjects import RECEIPT_STREAM, RECEIPTS, receipt_subject

log = structlog.get_logger()

KEPT_SECONDS = 24 * 3600
_READ_SIZE = 256
_SECONDS = 5.0


class Receipts:
    """Receipts over one connection."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=_SECONDS)

    async def ensure(self, replicas: int) -> None:
        """Create the stream of receipts where it is missing.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        config = api.StreamConfig(
            name=RECEIPT_STREAM,
            subjects=[RECEIPTS.subscription()],
            storage=api.StorageType.FILE,
            max_age=KEPT_SECONDS,
            num_replicas=replicas,
            allow_direct=True,
        )
        await ensure_stream(self._connection, config)

    async def write(self, receipt: Receipt) -> None:
        """Store a receipt.

        Raises:
            UnavailableError: it may not be stored; write it again.
        """
        subject = receipt_subject(receipt.app, receipt.command, receipt.gateway)
        with or_unavailable("a receipt was not acknowledged"):
            await self._js.publish(subject, receipt.to_bytes())

    @contextlib.asynccontextmanager
    async def gathering(self, app: int, command: str) -> AsyncIterator[Gathering]:
        """Listen for the receipts of a command that is about to be sent.

        Raises:
            UnavailableError: not connected.
        """
        gathering = Gathering()

        async def hear(message: Msg) -> None:
            _add(gathering, message.subject, message.data)

        with or_unavailable("receipts cannot be heard"):
            subscription = await self._connection.subscribe(RECEIPTS.subscription(app=app, command=command), cb=hear)
        try:
            yield gathering
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def read(self, app: int, command: str, into: Gathering) -> None:
        """Add what the stream holds of a command.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        after = 0
        subject = RECEIPTS.subscription(app=app, command=command)
        while batch := await read_batch(self._connection, RECEIPT_STREAM, subject, after, _READ_SIZE):
            for stored in batch:
                _add(into, stored.subject, stored.data)
            after = batch[-1].seq


def _add(gathering: Gathering, subject: str, data: bytes) -> None:
    """Take a receipt, if it is what its subject says: who may write to a subject is what the bus decides."""
    try:
        receipt = Receipt.model_validate_json(data)
    except ValidationError:
        log.warning("receipt_unreadable", subject=subject)
        return
    if receipt_subject(receipt.app, receipt.command, receipt.gateway) != subject:
        log.warning("receipt_unreadable", subject=subject)
        return
    gathering.add(receipt)

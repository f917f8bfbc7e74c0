"""The one place that writes to the stream. Every decision is fenced; an epoch is the fence."""

import secrets
from collections.abc import Awaitable, Mapping, Sequence

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError

from services.room_registry.domain.decisions import Entry
from shared.contracts.errors import FencedError, RefusalCode, RefusedError, UnknownOutcomeError
from shared.contracts.subjects import event_subject, partition_events

MAX_BATCH = 100
"""Messages in one commit; the server takes up to 1,000."""
BATCH_FROM = 12
"""An atomic batch costs the server about as much as this many messages one after the other; docs/adr/0006 has the figures."""
_COMMIT_SECONDS = 5.0
_FENCED = frozenset(
    {
        10071,  # wrong last sequence
        10164,  # in a cluster: another message of the same subjects is on its way
    }
)


class Ledger:
    """Commits over one connection."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=_COMMIT_SECONDS)

    async def begin(self, partition: int, epoch: Entry) -> int:
        """Write the message with which an owner begins, and return its sequence: the fencing token.

        It expects nothing: from it on every other writer's expectation is wrong. Who wrote it folds everything up to it
        before deciding anything.

        Raises:
            UnknownOutcomeError, RefusedError: as :meth:`commit`.
        """
        [seq] = await self._guard(partition, self._alone(partition, epoch))
        return seq

    async def commit(self, partition: int, expected: int, entries: Sequence[Entry]) -> list[int]:
        """Append messages to a partition whose last one is at sequence ``expected``; returns their sequences.

        They are in the stream side by side as far as the partition goes: nobody else's is among them. When this raises,
        the first of a few may be in, of many all or none.

        Raises:
            FencedError: the partition's last message is another one: somebody else has written.
            UnknownOutcomeError: no answer; the messages may be in the stream, or may still come in.
            RefusedError: the server will not store them (the stream is full), or one of them is too large.
        """
        writing = self._together if len(entries) >= BATCH_FROM else self._one_by_one
        return await self._guard(partition, writing(partition, expected, entries))

    async def _guard(self, partition: int, writing: Awaitable[list[int]]) -> list[int]:
        """Sort what can go wrong by what the owner must do about it."""
        try:
            return await writing
        except APIError as error:
            if error.err_code in _FENCED:
                raise FencedError(f"partition {partition}: {error.description}") from error
            raise RefusedError(RefusalCode.OVERLOADED, f"the stream refuses to store more: {error.description}") from error
        except nats.errors.MaxPayloadError as error:
            raise RefusedError(RefusalCode.TOO_LARGE, "what this would cause does not fit into a message") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise UnknownOutcomeError(f"partition {partition}: {str(error) or type(error).__name__}") from error

    async def _alone(self, partition: int, entry: Entry) -> list[int]:
        return [await self._publish(partition, entry, {})]

    async def _one_by_one(self, partition: int, expected: int, entries: Sequence[Entry]) -> list[int]:
        sequences: list[int] = []
        for entry in entries:
            fence = _fence(partition, sequences[-1] if sequences else expected)
            sequences.append(await self._publish(partition, entry, fence))
        return sequences

    async def _together(self, partition: int, expected: int, entries: Sequence[Entry]) -> list[int]:
        """Send an atomic batch (NATS ADR-50): the fence is on the first message, the answer comes for the last."""
        batch = {"Nats-Batch-Id": secrets.token_hex(16)}
        for number, entry in enumerate(entries[:-1], start=1):
            headers = {**batch, "Nats-Batch-Sequence": str(number), **(_fence(partition, expected) if number == 1 else {})}
            subject = event_subject(partition, entry.key, entry.verb)
            await self._connection.publish(subject, entry.message.to_bytes(), headers=headers)
        headers = {**batch, "Nats-Batch-Sequence": str(len(entries)), "Nats-Batch-Commit": "1"}
        last = await self._publish(partition, entries[-1], headers)
        return list(range(last - len(entries) + 1, last + 1))

    async def _publish(self, partition: int, entry: Entry, headers: Mapping[str, str]) -> int:
        subject = event_subject(partition, entry.key, entry.verb)
        ack = await self._js.publish(subject, entry.message.to_bytes(), headers=dict(headers))
        return ack.seq


def _fence(partition: int, expected: int) -> dict[str, str]:
    return {
        "Nats-Expected-Last-Subject-Sequence": str(expected),
        "Nats-Expected-Last-Subject-Sequence-Subject": partition_events(partition),
    }

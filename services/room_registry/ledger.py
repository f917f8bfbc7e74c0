"""The one function that writes to the stream. Every write is fenced."""

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError

from services.room_registry.domain.partition import Entry
from shared.contracts.errors import FencedError, RefusalCode, RefusedError, UnknownOutcomeError
from shared.contracts.subjects import event_subject, partition_events

_COMMIT_SECONDS = 5.0
_WRONG_LAST_SEQUENCE = 10071
_IN_PROCESS = 10164
"""In a cluster: another message of the same subjects is on its way."""


class Ledger:
    """Commits over one connection."""

    def __init__(self, connection: Client) -> None:
        self._js = connection.jetstream(timeout=_COMMIT_SECONDS)

    async def commit(self, partition: int, expected: int, entry: Entry) -> int:
        """Append one message to a partition whose last message is at sequence ``expected``, and return its sequence.

        Raises:
            FencedError: the partition's last message is another one: somebody else has written.
            UnknownOutcomeError: no answer; the message may be in the stream, or may still come in.
            RefusedError: the server will not store it (the stream is full); nothing was written.
        """
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(expected),
            "Nats-Expected-Last-Subject-Sequence-Subject": partition_events(partition),
        }
        subject = event_subject(partition, entry.key, entry.verb)
        try:
            ack = await self._js.publish(subject, entry.message.to_bytes(), headers=headers)
        except APIError as error:
            if error.err_code in (_WRONG_LAST_SEQUENCE, _IN_PROCESS):
                raise FencedError(f"partition {partition}: {error.description}") from error
            raise RefusedError(RefusalCode.OVERLOADED, f"the stream refuses to store more: {error.description}") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise UnknownOutcomeError(f"partition {partition}: {error or type(error).__name__}") from error
        return ack.seq

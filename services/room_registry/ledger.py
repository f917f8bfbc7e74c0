"""The one place that writes to the stream. Every decision is fenced; an epoch is the fence."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import nats.errors
from nats.aio.client import Client
from nats.js.errors import APIError

from shared.contracts.errors import FencedError, RefusalCode, RefusedError, UnknownOutcomeError
from shared.contracts.events import Event, Stowed, stow
from shared.contracts.subjects import partition_events
from shared.tracing import NO_CONTEXT, Context, headers_of

_COMMIT_SECONDS = 5.0
_FENCED = frozenset(
    {
        10071,  # wrong last sequence
        10164,  # in a cluster: another message of the same subjects is on its way
    }
)


class Ledger:
    """Commits over one connection.

    Args:
        connection: to NATS.
        trace_of: says, by command id, to which trace an event belongs.
    """

    def __init__(self, connection: Client, trace_of: Callable[[str], Context] = lambda _: NO_CONTEXT) -> None:
        self._trace_of = trace_of
        self._js = connection.jetstream(timeout=_COMMIT_SECONDS)

    async def begin(self, partition: int, epoch: Event) -> int:
        """Write the event with which an owner begins, and return its message's sequence: the fencing token.

        It expects nothing: from it on every other writer's expectation is wrong. Who wrote it folds everything up to it
        before deciding anything.

        Raises:
            UnknownOutcomeError, RefusedError: as :meth:`commit`.
        """
        [message] = stow(partition, [epoch])
        return await self._publish(partition, message, {})

    async def commit(self, partition: int, expected: int, events: Sequence[Event]) -> AsyncIterator[tuple[int, Sequence[Event]]]:
        """Append events to a partition whose last message is at sequence ``expected``; yields each message when it is in the stream.

        A message holds as many of them as fit; it is in the stream or not. They are in the stream side by side as far as
        the partition goes: nobody else's is among them.

        Yields:
            The sequence of a message, and the events in it.

        Raises:
            FencedError: the partition's last message is another one: somebody else has written.
            UnknownOutcomeError: no answer; the message may be in the stream, or may still come in.
            RefusedError: the server will not store it (the stream is full), or it is too large.
        """
        for message in stow(partition, events):
            fence = {
                "Nats-Expected-Last-Subject-Sequence": str(expected),
                "Nats-Expected-Last-Subject-Sequence-Subject": partition_events(partition),
            }
            expected = await self._publish(partition, message, fence)
            yield expected, message.events

    async def _publish(self, partition: int, message: Stowed, fence: Mapping[str, str]) -> int:
        """Publish, and sort what can go wrong by what the owner must do about it."""
        try:
            headers = {**fence, **headers_of({event.message.command: self._trace_of(event.message.command) for event in message.events})}
            ack = await self._js.publish(message.subject, message.data, headers=headers)
        except APIError as error:
            if error.err_code in _FENCED:
                raise FencedError(f"partition {partition}: {error.description}") from error
            raise RefusedError(RefusalCode.OVERLOADED, f"the stream refuses to store more: {error.description}") from error
        except nats.errors.MaxPayloadError as error:
            raise RefusedError(RefusalCode.TOO_LARGE, "what this would cause does not fit into a message") from error
        except (nats.errors.Error, TimeoutError) as error:
            raise UnknownOutcomeError(f"partition {partition}: {str(error) or type(error).__name__}") from error
        return ack.seq

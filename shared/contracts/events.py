"""Events as the stream holds them: one message for a command alone, or one for several that are committed together."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shared.contracts.commands import Verb
from shared.contracts.facts import MAX_EVENTS_PER_MESSAGE, Committed, Group
from shared.contracts.ids import RoomKey
from shared.contracts.subjects import event_subject, parse_subject

MAX_GROUP_BYTES = 512 * 1024
"""A server takes messages of 1 MiB by default; the largest event alone has 0.9 MB."""


class Event(NamedTuple):
    """What one command has come to, and where."""

    key: RoomKey | None
    """None where it concerns no single room."""
    verb: Verb
    message: Committed


class Stowed(NamedTuple):
    """One message for the stream."""

    subject: str
    data: bytes
    events: Sequence[Event]
    """What it holds."""


def stow(partition: int, events: Sequence[Event]) -> Iterator[Stowed]:
    """Put events into as few messages as they fit, in their order."""
    bodies = [event.message.to_bytes() for event in events]
    start, size = 0, 0
    for index, body in enumerate(bodies):
        if index > start and (size + len(body) > MAX_GROUP_BYTES or index - start == MAX_EVENTS_PER_MESSAGE):
            yield _message(partition, events[start:index], bodies[start:index])
            start, size = index, 0
        size += len(body)
    if bodies:
        yield _message(partition, events[start:], bodies[start:])


def _message(partition: int, events: Sequence[Event], bodies: Sequence[bytes]) -> Stowed:
    if len(events) == 1:
        return Stowed(event_subject(partition, events[0].key, events[0].verb), bodies[0], events)
    # A Group, put together from what is JSON already.
    grouped = (b'{"verb":"%s","event":%s}' % (event.verb.encode(), body) for event, body in zip(events, bodies, strict=True))
    return Stowed(event_subject(partition, None, Verb.GROUP), b'{"events":[%s]}' % b",".join(grouped), events)


def read_events(subject: str, data: bytes) -> Sequence[Event]:
    """Read the events of one message on a subject of ``evt`` or ``pub``.

    Raises:
        InvalidIdError: the subject is none of these.
        ValidationError: the body is not what it should be.
    """
    address = parse_subject(subject)
    if address.verb is not Verb.GROUP:
        return (Event(address.key, address.verb, Committed.model_validate_json(data)),)
    return [Event(_key(each.event), each.verb, each.event) for each in Group.model_validate_json(data).events]


def _key(message: Committed) -> RoomKey | None:
    return None if message.app is None or message.room is None else RoomKey(message.app, message.room)

"""A stream in memory that answers publishes as nats-server does, as far as the registry's ledger uses it.

tests/room_registry/test_memory_stream.py holds it against a real server. What it adds is mischief: whoever drives it decides
at each publish whether it goes through, is lost, is carried out without an answer, or is carried out later.
"""

import fnmatch
from enum import Enum, auto
from types import coroutine

import nats.errors
from nats.js.api import PubAck
from nats.js.errors import APIError

WRONG_LAST_SEQUENCE = 10071


class Fate(Enum):
    """What becomes of a publish."""

    ANSWERED = auto()
    LOST = auto()
    """It never arrives."""
    UNANSWERED = auto()
    """It is carried out, and the answer is lost."""
    LATE = auto()
    """It is carried out later, when nobody waits for the answer any more."""


@coroutine
def point():
    """Give the turn to whoever steps this coroutine; returns what he sends."""
    return (yield)


class MemoryStream:
    """The stream: sequence, subject and data of each message, from 1."""

    def __init__(self):
        self.messages = []
        self.late = []

    def last_of(self, pattern):
        """Return the sequence of the last message on a subject with wildcards, 0 where there is none."""
        shell = pattern.replace("=", "[=]").replace(">", "*")
        return next((seq for seq, subject, _ in reversed(self.messages) if fnmatch.fnmatchcase(subject, shell)), 0)

    def append(self, subject, data, headers):
        """Store one message, or raise what a server answers."""
        self._check(headers)
        self.messages.append((len(self.messages) + 1, subject, data))
        return len(self.messages)

    def deliver_late(self):
        """Carry out what was on its way. What the fence refuses vanishes: nobody waits for the answer."""
        late, self.late = self.late, []
        for act in late:
            try:
                act()
            except APIError:
                continue

    def _check(self, headers):
        expected = headers.get("Nats-Expected-Last-Subject-Sequence")
        if expected is None:
            return
        last = self.last_of(headers["Nats-Expected-Last-Subject-Sequence-Subject"])
        if last != int(expected):
            raise APIError(code=400, err_code=WRONG_LAST_SEQUENCE, description=f"wrong last sequence: {last}")


class MemoryConnection:
    """A connection to a :class:`MemoryStream`, for one ledger. Each publish that waits for an answer is two points: the first decides."""

    def __init__(self, stream):
        self.stream = stream

    def jetstream(self, timeout):  # noqa: ARG002 -- as the real one
        """Return what publishes with an answer."""
        return _JetStream(self.stream)


class _JetStream:
    def __init__(self, stream):
        self._stream = stream

    async def publish(self, subject, data, headers):
        def act():
            return self._stream.append(subject, data, headers)

        fate = await point()
        if fate is Fate.LATE:
            self._stream.late.append(act)
        if fate in (Fate.LOST, Fate.LATE):
            raise nats.errors.TimeoutError
        seq = act()
        # The answer is on its way; who follows the stream may be faster.
        await point()
        if fate is Fate.UNANSWERED:
            raise nats.errors.TimeoutError
        return PubAck(stream="memory", seq=seq)

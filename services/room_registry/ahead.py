"""Deciding ahead: each question on what the ones before it would leave, though none of that is committed yet."""

from collections.abc import Iterable
from typing import NamedTuple

from services.room_registry.domain.decisions import decide, lose
from services.room_registry.domain.partition import Partition
from shared.contracts.commands import RoomCommand
from shared.contracts.errors import RefusalCode
from shared.contracts.events import Event
from shared.contracts.replies import Refusal, Reply


class Loss(NamedTuple):
    """A gateway that the owner has found to be lost."""

    gateway: str
    command: str
    """The id under which that is committed."""
    silent: bool = True
    """Nothing leaves it any more."""


Asked = RoomCommand | Loss


class Decided(NamedTuple):
    """What a question comes to, once the events are committed."""

    asked: Asked
    reply: Reply | None
    """None is for a loss that is declared."""
    events: tuple[Event, ...]


def decide_one(partition: Partition, asked: Asked, now: int) -> Decided:
    """Decide a question on what is there, at Unix time ``now`` in milliseconds."""
    if not isinstance(asked, Loss):
        return Decided(asked, *decide(partition, asked, now))
    events = lose(partition, asked.gateway, asked.command, now, silent=asked.silent)
    if not events and partition.lost.get(asked.gateway) is None:
        return Decided(asked, Refusal(code=RefusalCode.OVERLOADED, message="too many lost gateways are remembered", retry=True), ())
    return Decided(asked, None, events)


class Ahead:
    """A draft of a partition, and what was decided on it.

    It holds as long as the partition changes by nothing but what was decided here, in that order.
    """

    def __init__(self, partition: Partition) -> None:
        self._draft = partition.draft()
        self._waiting: dict[str, Decided] = {}
        self.decisions = 0
        """How many were taken on it."""

    def decide(self, asked: Asked, now: int) -> Decided:
        """Decide at Unix time ``now`` in milliseconds, on what everything decided before would leave."""
        self.decisions += 1
        known = self._waiting.get(_id(asked))
        if known is not None and known.asked == asked:
            # Sent again while it waits.
            return Decided(asked, known.reply, ())
        decided = self._waiting[_id(asked)] = decide_one(self._draft, asked, now)
        # At once: when the partition has folded them, it is too late.
        self._draft.fold(self._draft.last_seq + 1, decided.events)
        return decided

    def committed(self, group: Iterable[Decided]) -> None:
        """Have those that are committed not wait any more."""
        for decided in group:
            self._waiting.pop(_id(decided.asked), None)


def _id(asked: Asked) -> str:
    return asked.command if isinstance(asked, Loss) else asked.id

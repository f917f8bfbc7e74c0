"""One partition: many rooms, one writer.

``fold`` applies what was committed and is the only thing that changes the state. Folding the same messages gives the same
state, on every replica. To decide several commands before the first is committed, decide and fold on a ``draft``, which
changes nothing below it (ahead.py does). How it is decided is in decisions.py.
"""

import copy
from collections.abc import Collection, Iterable, MutableMapping
from dataclasses import dataclass
from typing import NamedTuple

from services.room_registry.domain.ended import Ended, EndedSessions
from services.room_registry.domain.memory import Counts, Memory, Overlay
from services.room_registry.domain.room import Room, Session, evolve
from shared.contracts.events import Event
from shared.contracts.facts import (
    Attached,
    Committed,
    Detached,
    Dissolved,
    EpochBegan,
    Fact,
    GatewayLost,
    Joined,
    Left,
    Remembered,
    RoleSwitched,
    RoomFact,
    SessionBarred,
    UsersBarred,
)
from shared.contracts.ids import RoomKey, room_token
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import AnswerReply, DismissReply, RemoveReply, Reply, RoomsReply, RoomSummary

_LISTED_ANCHORS = 50
_REPORTED = frozenset({LeaveReason.REMOVED, LeaveReason.DISMISSED})
"""Endings that somebody waits for receipts of."""


@dataclass(frozen=True)
class Limits:
    """Bounds of one partition's state, and how long it remembers."""

    sessions_per_room: int = 20_000
    anchors_per_room: int = 1_000
    """Every newcomer is told of all of them, in one message."""
    sessions_per_user: int = 50
    """Sessions of one userId in one room; ten userIds' fit into the answer of one removal."""
    sessions: int = 200_000
    """Live and remembered together, so that every ending finds room in the memory."""
    answers: int = 100_000
    lost_gateways: int = 10_000
    ended_age_ms: int = 10 * 60_000
    """At least as long as a command may still be on its way, or a token may be shown."""
    answer_age_ms: int = 15 * 60_000
    lost_age_ms: int = 24 * 3_600_000
    """At least as long as a gateway that was cut off may still have commands on their way."""
    rooms_span_gateways: bool = True
    """Whether one may join at a gateway that has nobody of a room which others have."""


class Lost(NamedTuple):
    """A gateway was declared lost."""

    command: str
    """The id of the message's command."""
    silent: bool
    """Nothing leaves it any more."""


class Partition:
    """The state of one partition. Read it freely; only folding changes it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.rooms: MutableMapping[RoomKey, Room] = {}
        self.ended = EndedSessions(Memory(limits.ended_age_ms), Counts({}))
        self.answers: Memory[tuple[int, str], Remembered] = Memory(limits.answer_age_ms)
        """Of removals and dismissals, by app and command id."""
        self.lost: Memory[str, Lost] = Memory(limits.lost_age_ms)
        """Gateways that were declared lost."""
        self.last_seq = 0
        """In the stream, of the last message folded: what the next commit expects."""
        self.at = 0
        """The latest time that a message was dated."""
        self.owner = ""
        """Who took the partition over last."""
        self.epoch = 0
        """The sequence of the message with which that was done."""
        self.lives = 0
        """How many rooms have come to life since."""
        self.live = 0
        """How many sessions there are."""
        self._holders: Counts[str] = Counts({})
        self._places: Counts[tuple[str, RoomKey]] = Counts({})

    def draft(self) -> "Partition":
        """Make a state over this one, that can be thrown away. This one may only follow it: fold what the draft has folded before."""
        over = copy.copy(self)
        over._lay_over_what_it_shares()  # noqa: SLF001 -- another of this class
        return over

    def _lay_over_what_it_shares(self) -> None:
        self.rooms = Overlay(self.rooms)
        self.ended = self.ended.draft()
        self.answers = self.answers.draft()
        self.lost = self.lost.draft()
        self._holders = self._holders.draft()
        self._places = self._places.draft()

    # Restoring

    def resume_at(self, *, last_seq: int, at: int, owner: str, epoch: int, lives: int) -> None:
        """Put the place in the stream that a snapshot was taken at."""
        self.last_seq, self.at, self.owner, self.epoch, self.lives = last_seq, at, owner, epoch, lives

    def put_room(self, room: Room) -> None:
        """Put a room that a snapshot holds."""
        self._put(Room(room.key, room.incarnation), room, room.sessions)

    # Folding

    def fold(self, seq: int, events: Iterable[Event]) -> None:
        """Apply the events of one message of the stream; a message that was applied already is passed over.

        Raises:
            ValueError, LookupError: it cannot follow what was applied before: the stream is not what it was.
        """
        if seq <= self.last_seq:
            return
        self.last_seq = seq
        for key, _, message in events:
            self._fold(key, message)

    def _fold(self, key: RoomKey | None, message: Committed) -> None:
        # An epoch is written before all that it follows is folded, and may be dated early.
        self.at = max(self.at, message.at)
        self.ended.forget(self.at)
        self.answers.forget(self.at)
        self.lost.forget(self.at)
        for fact in message.facts:
            if key is None:
                self._apply(fact, message)
            else:
                self._apply_to_room(key, fact, message)
        if key is None:
            return
        if key in self.rooms and not self.rooms[key].sessions:
            del self.rooms[key]
        if message.remembered is not None:
            self.answers.keep((key.app, message.command), message.remembered, self.at)

    def _apply(self, fact: Fact, message: Committed) -> None:
        match fact:
            case EpochBegan():
                self.owner, self.epoch, self.lives = fact.owner, self.last_seq, 0
            case GatewayLost():
                self._lose(fact.gateway, Lost(message.command, fact.silent))
            case _:
                raise ValueError(f"message {self.last_seq} has a fact of a room and names none")

    def _apply_to_room(self, key: RoomKey, fact: Fact, message: Committed) -> None:
        match fact:
            case SessionBarred():
                self.ended.keep(fact.session, Ended(key, fact.reason, message.command, message.correlation), self.at)
            case UsersBarred():
                self.ended.bar(key, fact.users, fact.reason, message.command, message.correlation)
            case Joined() | Attached() | Detached() | RoleSwitched() | Left() | Dissolved():
                self._change_room(key, fact, message)
            case _:
                raise ValueError(f"message {self.last_seq} has a fact of no room and names one")

    def _change_room(self, key: RoomKey, fact: RoomFact, message: Committed) -> None:
        room = self.rooms.get(key)
        if room is None:
            room = Room(key, fact.incarnation)
            self.lives += 1
        after = evolve(room, fact, message.command)
        touched = _touched(room, fact)
        if isinstance(fact, Attached) and self.lost.get(room.sessions[fact.session].gateway) is not None:
            # What is lost detaches nothing.
            after = after.without_former(room.sessions[fact.session].gateway)
        self._put(room, after, touched)
        if isinstance(fact, Left | Dissolved):
            reason = fact.reason if isinstance(fact, Left) else LeaveReason.DISMISSED
            for session in touched:
                self._remember(key, room.sessions[session], reason, message)

    def _remember(self, key: RoomKey, session: Session, reason: LeaveReason, message: Committed) -> None:
        reporting = session.gateways if reason in _REPORTED else ()
        ended = Ended(key, reason, message.command, message.correlation, session.user, session.token, reporting)
        self.ended.keep(session.id, ended, self.at)

    def _lose(self, gateway: str, lost: Lost) -> None:
        self.lost.keep(gateway, lost, self.at)
        for room in self.rooms_with(gateway):
            self._put(room, room.without_former(gateway), room.sessions)

    def _put(self, before: Room, after: Room, touched: Iterable[str]) -> None:
        """Have another value of a room, and count anew what its gateways hold."""
        for session in touched:
            for room, number in ((before, -1), (after, 1)):
                for gateway in room.sessions[session].gateways if session in room.sessions else ():
                    self._holders.add(gateway, number)
                    self._places.add((gateway, after.key), number)
        self.rooms[after.key] = after
        self.live += len(after.sessions) - len(before.sessions)

    # Looking

    def next_incarnation(self) -> str:
        """Name the next life of a room."""
        return f"{self.epoch}.{self.lives + 1}"

    def rooms_with(self, gateway: str) -> list[Room]:
        """Return the rooms in which a gateway holds a session, or has not said yet that it does not any more."""
        if gateway not in self._holders:
            return []
        return [room for key, room in self.rooms.items() if (gateway, key) in self._places]

    def gateways(self) -> set[str]:
        """Name the gateways whose absence matters: those that hold a session, or have to say that they let go of one.

        A gateway that is lost is among them as long as it holds sessions, which is to end in a moment.
        """
        reporting = {gateway for gateway in self.ended.gateways() if self.lost.get(gateway) is None}
        return {*self._holders.keys(), *reporting}

    def answer(self, app: int, command: str) -> AnswerReply | None:
        """Return what a removal or a dismissal was answered, and which of the gateways that it names are lost and silent."""
        remembered = self.answers.get((app, command))
        if remembered is None:
            return None
        lost = {gateway: self.lost.get(gateway) for gateway in sorted(_gateways_of(remembered.answer))}
        return AnswerReply(answer=remembered.answer, lost=tuple(gateway for gateway, loss in lost.items() if loss and loss.silent))

    def list_rooms(self, after: str | None, limit: int) -> RoomsReply:
        """List rooms in the order of their names, from the one after the cursor ``after``."""
        names = sorted((f"{key.app}.{room_token(key.room)}", key) for key in self.rooms)
        page = [(name, key) for name, key in names if after is None or name > after][: limit + 1]
        more = page[limit - 1][0] if len(page) > limit else None
        return RoomsReply(rooms=tuple(_summary(self.rooms[key]) for _, key in page[:limit]), after=more)


def _gateways_of(answer: Reply) -> Collection[str]:
    """Name the gateways that have to report what an answer speaks of."""
    match answer:
        case RemoveReply():
            return {gateway for session in answer.removed for gateway in (session.gateway, *session.former)}
        case DismissReply():
            return answer.attachments.keys()
        case _:
            return ()


def _touched(room: Room, fact: RoomFact) -> list[str]:
    """Name the sessions that a fact is about."""
    match fact:
        case Left():
            return [end.session for end in fact.sessions]
        case Dissolved():
            return list(room.sessions)
        case _:
            return [fact.session]


def _summary(room: Room) -> RoomSummary:
    anchors = sorted(session.user for session in room.anchors.values())
    return RoomSummary(
        app=room.key.app,
        room=room.key.room,
        incarnation=room.incarnation,
        seq=room.seq,
        anchors=tuple(anchors[:_LISTED_ANCHORS]),
        anchor_count=len(anchors),
        audience_count=len(room.sessions) - len(anchors),
    )

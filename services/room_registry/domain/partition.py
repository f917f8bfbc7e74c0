"""One partition: many rooms, one writer.

``decide`` reads the state and says what should be committed; ``fold`` applies what was committed and is the only thing
that changes the state. Folding the same messages gives the same state, on every replica. To decide several commands
before the first is committed, decide and fold on a ``draft``, which changes nothing below it.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.room_registry.domain.memory import Memory, Overlay
from services.room_registry.domain.room import Room, evolve
from shared.contracts.commands import Announce, Command, Dismiss, Join, Leave, Remove, Role, RoomCommand, Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.facts import (
    MAX_FACTS_PER_MESSAGE,
    Announced,
    Committed,
    Dissolved,
    EpochBegan,
    Fact,
    Joined,
    Left,
    Remembered,
    RoomFact,
    SessionBarred,
)
from shared.contracts.ids import RoomKey, gateway_name, room_token
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import (
    AnnounceReply,
    DismissReply,
    JoinReply,
    LeaveReply,
    Peer,
    Refusal,
    RemovedSession,
    RemoveReply,
    Reply,
    RoomsReply,
    RoomSummary,
)

_LISTED_ANCHORS = 50
C = TypeVar("C", bound=RoomCommand)


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
    ended_age_ms: int = 10 * 60_000
    """At least as long as a command may still be on its way, or a token may be shown."""
    answer_age_ms: int = 15 * 60_000


@dataclass(frozen=True)
class Entry:
    """One message to be committed."""

    key: RoomKey | None
    verb: Verb
    message: Committed


@dataclass(frozen=True)
class Decision:
    """What a command comes to: the reply may leave when the entries are committed, in their order."""

    reply: Reply
    entries: tuple[Entry, ...] = ()


class Partition:
    """The state of one partition."""

    def __init__(self, limits: Limits) -> None:
        self.rooms: MutableMapping[RoomKey, Room] = {}
        self.last_seq = 0
        """In the stream, of the last message folded: what the next commit expects."""
        self.owner = ""
        """Who took the partition over last."""
        self._limits = limits
        self._epoch = 0
        self._lives = 0
        self._at = 0
        self._live = 0
        self._boots: MutableMapping[str, str] = {}
        self._ended: Memory[str, LeaveReason] = Memory(limits.ended_age_ms)
        self._answers: Memory[tuple[int, str], Remembered] = Memory(limits.answer_age_ms)

    def draft(self) -> "Partition":
        """Make a state over this one, that can be thrown away. This one must not change while the draft is used."""
        over = copy.copy(self)
        over._lay_over_what_it_shares()  # noqa: SLF001 -- another of this class
        return over

    def _lay_over_what_it_shares(self) -> None:
        self.rooms = Overlay(self.rooms)
        self._boots = Overlay(self._boots)
        self._ended = self._ended.draft()
        self._answers = self._answers.draft()

    # Deciding

    def decide(self, command: Command, now: int) -> Decision:
        """Decide a command at Unix time ``now`` in milliseconds. Changes nothing."""
        if command.expires_at is not None and now >= command.expires_at and not self._was_decided(command):
            return Decision(Refusal(code=RefusalCode.EXPIRED, message="the command's time is over"))
        match command:
            case Join():
                return self._join(command, now)
            case Leave():
                return self._leave(command, now)
            case Remove():
                return self._once(command, now, self._remove)
            case Dismiss():
                return self._once(command, now, self._dismiss)
            case Announce():
                return self._announce(command, now)
            case _:
                return Decision(Refusal(code=RefusalCode.BAD_REQUEST, message=f"nobody may ask for {command.verb}"))

    def _was_decided(self, command: Command) -> bool:
        """Say whether a command has left its effect: then its sender is told so, however late it asks."""
        match command:
            case Join():
                room = self.rooms.get(command.key)
                return (room is not None and command.session in room.sessions) or self._ended.get(command.session) is not None
            case Remove() | Dismiss():
                return self._answers.get((command.app, command.id)) is not None
            case _:
                return False

    def begin_epoch(self, owner: str, command: str, now: int) -> Entry:
        """Make the message with which ``owner`` takes the partition over."""
        message = Committed(command=command, correlation=command, at=self._time(now), facts=(EpochBegan(owner=owner),))
        return Entry(None, Verb.EPOCH, message)

    def _join(self, command: Join, now: int) -> Decision:
        room = self.rooms.get(command.key) or Room(command.key, f"{self._epoch}.{self._lives + 1}")
        refusal = self._why_not(room, command)
        if refusal is not None:
            return Decision(refusal, self._entries(command, now, ()))
        facts = room.join(command)
        for fact in facts:
            room = evolve(room, fact)
        roster = tuple(Peer(session=s.id, user=s.user) for s in room.anchors.values() if s.id != command.session)
        reply = JoinReply(incarnation=room.incarnation, seq=room.seq, roster=roster)
        return Decision(reply, self._entries(command, now, facts))

    def _why_not(self, room: Room, command: Join) -> Refusal | None:
        if command.session in room.sessions:
            return None
        if (reason := self._ended.get(command.session)) is not None:
            return Refusal(code=RefusalCode.SESSION_ENDED, message=f"the session has ended: {reason}", reason=reason)
        if self._boots.get(gateway_name(command.gateway)) != command.gateway:
            return Refusal(code=RefusalCode.UNKNOWN_GATEWAY, message="the gateway's boot was not announced, or a newer one was")
        limits = self._limits
        # Who replaces an own session takes no room.
        coming = 0 if command.role is Role.ANCHOR and room.anchor_of(command.user) else 1
        if len(room.sessions) + coming > limits.sessions_per_room:
            return Refusal(code=RefusalCode.ROOM_FULL, message=f"the room holds {limits.sessions_per_room} sessions already")
        if command.role is Role.ANCHOR and len(room.anchors) + coming > limits.anchors_per_room:
            return Refusal(code=RefusalCode.ROOM_FULL, message=f"the room has {limits.anchors_per_room} anchors already")
        if len(room.of_user(command.user)) + coming > limits.sessions_per_user:
            message = f"this userId is here {limits.sessions_per_user} times already"
            return Refusal(code=RefusalCode.TOO_MANY_SESSIONS, message=message)
        return self._full()

    def _full(self) -> Refusal | None:
        if self._live + len(self._ended) < self._limits.sessions:
            return None
        return Refusal(code=RefusalCode.OVERLOADED, message="the partition is full", retry=True)

    def _leave(self, command: Leave, now: int) -> Decision:
        room = self.rooms.get(command.key)
        facts: tuple[Fact, ...] = room.leave(command.session, command.reason) if room else ()
        if not facts and self._ended.get(command.session) is None:
            # Its join may still be on the way, and must not bring it to life.
            if (refusal := self._full()) is not None:
                return Decision(refusal, self._entries(command, now, ()))
            facts = (SessionBarred(session=command.session, reason=command.reason),)
        return Decision(LeaveReply(), self._entries(command, now, facts))

    def _once(self, command: C, now: int, decide: Callable[[Room, C], tuple[Reply, Sequence[Fact]]]) -> Decision:
        """Decide a command whose answer is remembered."""
        digest = _digest(command)
        known = self._answers.get((command.app, command.id))
        if known is not None:
            if known.digest != digest:
                return Decision(Refusal(code=RefusalCode.COMMAND_REUSED, message="this command id was used for another command"))
            return Decision(known.answer)
        if len(self._answers) >= self._limits.answers:
            return Decision(Refusal(code=RefusalCode.OVERLOADED, message="too many commands are remembered", retry=True))
        room = self.rooms.get(command.key)
        if room is None:
            absent = Refusal(code=RefusalCode.ROOM_NOT_EXIST, message="there is no such room")
            return Decision(absent, self._entries(command, now, (), Remembered(digest=digest, answer=absent)))
        reply, facts = decide(room, command)
        return Decision(reply, self._entries(command, now, facts, Remembered(digest=digest, answer=reply)))

    def _remove(self, room: Room, command: Remove) -> tuple[Reply, Sequence[Fact]]:
        facts = room.remove(command.users)
        removed = tuple(
            RemovedSession(user=end.user, session=end.session, gateway=end.gateway, seq=fact.seq)
            for fact in facts
            if isinstance(fact, Left)
            for end in fact.sessions
        )
        present = {session.user for session in removed}
        not_found = tuple(user for user in dict.fromkeys(command.users) if user not in present)
        return RemoveReply(removed=removed, not_found=not_found), facts

    def _dismiss(self, room: Room, _command: Dismiss) -> tuple[Reply, Sequence[Fact]]:
        facts = room.dismiss()
        return DismissReply(incarnation=room.incarnation, seq=facts[-1].seq, sessions=len(room.sessions)), facts

    def _announce(self, command: Announce, now: int) -> Decision:
        name = gateway_name(command.gateway)

        def older(gateway: str) -> bool:
            return gateway_name(gateway) == name and gateway != command.gateway

        entries: list[Entry] = []
        ended = 0
        for room in self.rooms.values():
            if facts := room.lose(older):
                ended += sum(len(fact.sessions) for fact in facts if isinstance(fact, Left))
                entries.extend(self._messages(command, room.key, now, facts))
        announced = (Announced(gateway=command.gateway),) if self._boots.get(name) != command.gateway else ()
        entries.extend(self._messages(command, None, now, announced))
        return Decision(AnnounceReply(ended=ended), tuple(entries))

    def _entries(self, command: RoomCommand, now: int, facts: Sequence[Fact], remembered: Remembered | None = None) -> tuple[Entry, ...]:
        return tuple(self._messages(command, command.key, now, facts, remembered))

    def _messages(
        self, command: Command, key: RoomKey | None, now: int, facts: Sequence[Fact], remembered: Remembered | None = None
    ) -> Iterator[Entry]:
        """Spread facts over messages. Every command leaves at least one: its reply waits for a commit after the decision."""
        for start in range(0, max(len(facts), 1), MAX_FACTS_PER_MESSAGE):
            message = Committed(
                command=command.id,
                correlation=command.correlation or command.id,
                at=self._time(now),
                app=key.app if key else None,
                room=key.room if key else None,
                remembered=remembered if start + MAX_FACTS_PER_MESSAGE >= len(facts) else None,
                facts=tuple(facts[start : start + MAX_FACTS_PER_MESSAGE]),
            )
            yield Entry(key, command.verb, message)

    def _time(self, now: int) -> int:
        return max(now, self._at)

    # Folding

    def fold(self, seq: int, key: RoomKey | None, message: Committed) -> None:
        """Apply one committed message; one that was applied already is passed over.

        Raises:
            ValueError: it cannot follow what was applied before: the stream is not what it was.
        """
        if seq <= self.last_seq:
            return
        self.last_seq = seq
        # An epoch is written before all that it follows is folded, and may be dated early.
        self._at = max(self._at, message.at)
        self._ended.forget(self._at)
        self._answers.forget(self._at)
        for fact in message.facts:
            self._apply(seq, key, fact, self._at)
        if key is not None and key in self.rooms and not self.rooms[key].sessions:
            del self.rooms[key]
        if key is not None and message.remembered is not None:
            self._answers.keep((key.app, message.command), message.remembered, self._at)

    def _apply(self, seq: int, key: RoomKey | None, fact: Fact, at: int) -> None:
        match fact:
            case EpochBegan():
                self.owner, self._epoch, self._lives = fact.owner, seq, 0
            case Announced():
                self._boots[gateway_name(fact.gateway)] = fact.gateway
            case SessionBarred():
                self._ended.keep(fact.session, fact.reason, at)
            case Joined() | Left() | Dissolved() if key is not None:
                self._apply_to_room(key, fact, at)
            case _:
                raise ValueError(f"message {seq} has a fact of a room and names none")

    def _apply_to_room(self, key: RoomKey, fact: RoomFact, at: int) -> None:
        room = self.rooms.get(key)
        if room is None:
            room = Room(key, fact.incarnation)
            self._lives += 1
        after = evolve(room, fact)
        self.rooms[key] = after
        self._live += len(after.sessions) - len(room.sessions)
        match fact:
            case Left():
                for end in fact.sessions:
                    self._ended.keep(end.session, fact.reason, at)
            case Dissolved():
                for session in room.sessions:
                    self._ended.keep(session, LeaveReason.DISMISSED, at)
            case Joined():
                pass

    # Looking

    def list_rooms(self, after: str | None, limit: int) -> RoomsReply:
        """List rooms in the order of their names, from the one after the cursor ``after``."""
        names = sorted((f"{key.app}.{room_token(key.room)}", key) for key in self.rooms)
        page = [(name, key) for name, key in names if after is None or name > after][: limit + 1]
        more = page[limit - 1][0] if len(page) > limit else None
        return RoomsReply(rooms=tuple(_summary(self.rooms[key]) for _, key in page[:limit]), after=more)


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


def _digest(command: RoomCommand) -> str:
    """Digest what a command asks for: the same question has the same digest, however often it is sent."""
    return hashlib.sha256(command.model_dump_json(exclude={"correlation", "expires_at"}).encode()).hexdigest()

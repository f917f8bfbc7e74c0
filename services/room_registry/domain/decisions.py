"""Deciding: a command and the state of its partition go in; the answer, and what is to be committed before it leaves, come out."""

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from services.room_registry.domain.ended import Ended
from services.room_registry.domain.partition import Partition
from services.room_registry.domain.room import Room, Session
from shared.contracts.commands import Command, Detach, Dismiss, Join, Leave, Remove, Resume, Role, RoomCommand, SwitchRole, Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.events import Event
from shared.contracts.facts import (
    MAX_FACTS_PER_MESSAGE,
    MAX_FORMER_GATEWAYS,
    Committed,
    EpochBegan,
    Fact,
    GatewayLost,
    Left,
    Remembered,
    SessionBarred,
    UsersBarred,
)
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import (
    DetachReply,
    DismissReply,
    JoinReply,
    LeaveReply,
    Peer,
    Refusal,
    RemovedSession,
    RemoveReply,
    Reply,
    ResumeReply,
    SwitchRoleReply,
)

C = TypeVar("C", bound=RoomCommand)


class Decision(NamedTuple):
    """What a command comes to: the reply may leave when the events are committed, in their order."""

    reply: Reply
    events: tuple[Event, ...] = ()


def begin_epoch(partition: Partition, owner: str, command: str, now: int) -> Event:
    """Make the message with which ``owner`` takes the partition over."""
    return Event(None, Verb.EPOCH, _message(partition, None, command, now, (EpochBegan(owner=owner),)))


def lose(partition: Partition, gateway: str, command: str, now: int, *, silent: bool = True) -> tuple[Event, ...]:
    """Declare a gateway lost, and end what is attached to it: a message a room. What is done already is not done again.

    Args:
        partition: on which this is decided.
        gateway: that is lost.
        command: the id that all of these messages get.
        now: Unix time in milliseconds.
        silent: whether nothing leaves it any more.
    """
    events: list[Event] = []
    if partition.lost.get(gateway) is None:
        if len(partition.lost) >= partition.limits.lost_gateways:
            return ()
        fact = GatewayLost(gateway=gateway, silent=silent)
        events.append(Event(None, Verb.LOSE, _message(partition, None, command, now, (fact,))))
    endings = ((room.key, facts) for room in partition.rooms_with(gateway) for facts in _chunks(room.lose(gateway)))
    events += (Event(key, Verb.LOSE, _message(partition, key, command, now, facts)) for key, facts in endings)
    return tuple(events)


def decide(partition: Partition, command: Command, now: int) -> Decision:
    """Decide a command at Unix time ``now`` in milliseconds. Changes nothing."""
    if command.expires_at is not None and now >= command.expires_at and not _was_decided(partition, command):
        return Decision(Refusal(code=RefusalCode.EXPIRED, message="the command's time is over"))
    return _Deciding(partition, now).decide(command)


def _was_decided(partition: Partition, command: Command) -> bool:
    """Say whether a command has left its effect: then its sender is told so, however late it asks."""
    match command:
        case Join() | Resume() | SwitchRole():
            if partition.ended.get(command.session) is not None:
                return True
            session = _session(partition, command)
            return session is not None and (isinstance(command, Join) or session.change_by(command.id) is not None)
        case Remove() | Dismiss():
            return partition.answers.get((command.app, command.id)) is not None
        case _:
            return False


@dataclass(frozen=True)
class _Deciding:
    """One decision: the state that it is taken on, and when."""

    partition: Partition
    now: int

    def decide(self, command: Command) -> Decision:
        match command:
            case Join():
                return self._join(command)
            case Resume():
                return self._resume(command)
            case Leave():
                return self._leave(command)
            case SwitchRole():
                return self._switch_role(command)
            case Detach():
                return self._detach(command)
            case Remove():
                return self._once(command, self._remove)
            case Dismiss():
                return self._once(command, self._dismiss)
            case _:
                return Decision(_refusal(RefusalCode.BAD_REQUEST, f"nobody may ask for {command.verb}"))

    # Coming in

    def _join(self, command: Join) -> Decision:
        room = self.partition.rooms.get(command.key) or Room(command.key, self.partition.next_incarnation())
        if command.session not in room.sessions and (refusal := self._why_not(room, command)) is not None:
            return self._decision(command, refusal)
        facts = room.join(command)
        replaced = [end.session for fact in facts if isinstance(fact, Left) for end in fact.sessions]
        roster = _roster(room, {command.session, *replaced})
        return self._decision(command, JoinReply(incarnation=room.incarnation, seq=room.seq + len(facts), roster=roster), facts)

    def _why_not(self, room: Room, command: Join) -> Refusal | None:
        if (ended := self.partition.ended.get(command.session)) is not None:
            return _session_ended(ended)
        if (refusal := self._lost(command.gateway)) is not None:
            return refusal
        limits = self.partition.limits
        older = room.anchor_of(command.user) if command.role is Role.ANCHOR else None
        if older is not None and command.yields:
            return _refusal(RefusalCode.ANCHOR_TAKEN, "another session of this userId is the anchor")
        if not limits.rooms_span_gateways and self._is_elsewhere(room, command.gateway, older):
            return _refusal(RefusalCode.ROOM_ELSEWHERE, "the room is on another gateway, and its media would not reach this one")
        # Who replaces an own session takes no room.
        coming = 0 if older is not None else 1
        if len(room.sessions) + coming > limits.sessions_per_room:
            return _refusal(RefusalCode.ROOM_FULL, f"the room holds {limits.sessions_per_room} sessions already")
        if command.role is Role.ANCHOR and (refusal := self._too_many_anchors(room, coming)) is not None:
            return refusal
        if len(room.of_user(command.user)) + coming > limits.sessions_per_user:
            return _refusal(RefusalCode.TOO_MANY_SESSIONS, f"this userId is here {limits.sessions_per_user} times already")
        return self._full()

    def _is_elsewhere(self, room: Room, gateway: str, leaving: Session | None) -> bool:
        """Say whether everybody who stays in a room is attached to other gateways, and one of those at least is not lost.

        Whoever has moved to a gateway has brought the room there: it is on both as long as others follow.
        """
        elsewhere = False
        for session in room.sessions.values():
            if session is leaving:
                continue
            if session.gateway == gateway:
                return False
            elsewhere = elsewhere or self.partition.lost.get(session.gateway) is None
        return elsewhere

    def _too_many_anchors(self, room: Room, coming: int) -> Refusal | None:
        if len(room.anchors) + coming <= self.partition.limits.anchors_per_room:
            return None
        return _refusal(RefusalCode.ROOM_FULL, f"the room has {self.partition.limits.anchors_per_room} anchors already")

    def _full(self) -> Refusal | None:
        if self.partition.live + len(self.partition.ended) < self.partition.limits.sessions:
            return None
        return _refusal(RefusalCode.OVERLOADED, "the partition is full", retry=True)

    def _lost(self, gateway: str) -> Refusal | None:
        if self.partition.lost.get(gateway) is None:
            return None
        return _refusal(RefusalCode.GATEWAY_LOST, "the gateway was declared lost")

    # Coming back

    def _resume(self, command: Resume) -> Decision:
        session = _session(self.partition, command)
        if session is None or session.token != command.token:
            return self._decision(command, self._not_here(command, command.token))
        if (refusal := self._why_not_resume(session, command)) is not None:
            return self._decision(command, refusal)
        room = self.partition.rooms[command.key]
        facts = room.resume(command)
        reply = ResumeReply(
            incarnation=room.incarnation,
            seq=room.seq + len(facts),
            roster=_roster(room, {session.id}),
            attachment=session.attachment + len(facts),
            user=session.user,
            role=session.role,
        )
        return self._decision(command, reply, facts)

    def _why_not_resume(self, session: Session, command: Resume) -> Refusal | None:
        if (done := session.change_by(command.id)) is not None:
            return None if (done.attachment, command.gateway) == (session.attachment, session.gateway) else _superseded()
        if (refusal := self._lost(command.gateway)) is not None:
            return refusal
        if len(session.former_after(command.gateway)) > MAX_FORMER_GATEWAYS:
            return _refusal(RefusalCode.OVERLOADED, "too many gateways have not let go of the session yet", retry=True)
        return None

    def _not_here(self, command: Resume | SwitchRole, token: str | None = None) -> Refusal:
        """Say why a session is not in its room; with a token, to who has it only."""
        ended = self.partition.ended.get(command.session)
        if ended is None or ended.key != command.key or (token is not None and ended.token != token):
            return _refusal(RefusalCode.SESSION_UNKNOWN, "there is no such session, or the token is not its")
        return _session_ended(ended)

    # What gateways say of their sessions

    def _leave(self, command: Leave) -> Decision:
        session = _session(self.partition, command)
        if session is not None:
            current = command.attachment == session.attachment
            facts = self.partition.rooms[command.key].leave(session.id, command.reason) if current else ()
            return self._decision(command, LeaveReply(), facts)
        if command.attachment > 1 or self.partition.ended.get(command.session) is not None:
            return self._decision(command, LeaveReply())
        # Its join may still be on the way, and must not bring it to life.
        if (refusal := self._full()) is not None:
            return self._decision(command, refusal)
        return self._decision(command, LeaveReply(), (SessionBarred(session=command.session, reason=command.reason),))

    def _switch_role(self, command: SwitchRole) -> Decision:
        session = _session(self.partition, command)
        if session is None:
            return self._decision(command, self._not_here(command))
        if command.attachment != session.attachment:
            return self._decision(command, _superseded())
        room = self.partition.rooms[command.key]
        facts = room.switch_role(command)
        if facts and command.role is Role.ANCHOR:
            refusal = self._too_many_anchors(room, 0 if room.anchor_of(session.user) is not None else 1)
            if refusal is not None:
                return self._decision(command, refusal)
        return self._decision(command, SwitchRoleReply(), facts)

    def _detach(self, command: Detach) -> Decision:
        room = self.partition.rooms.get(command.key)
        return self._decision(command, DetachReply(), room.detach(command) if room is not None else ())

    # What administrators ask for

    def _once(self, command: C, decide_anew: Callable[[C], tuple[Reply, Sequence[Fact]]]) -> Decision:
        """Decide a command whose answer is remembered."""
        answers, digest = self.partition.answers, _digest(command)
        known = answers.get((command.app, command.id))
        if known is not None:
            if known.digest != digest:
                return Decision(_refusal(RefusalCode.COMMAND_REUSED, "this command id was used for another command"))
            return Decision(known.answer)
        if len(answers) >= self.partition.limits.answers:
            return Decision(_refusal(RefusalCode.OVERLOADED, "too many commands are remembered", retry=True))
        reply, facts = decide_anew(command)
        return self._decision(command, reply, facts, Remembered(digest=digest, answer=reply))

    def _remove(self, command: Remove) -> tuple[Reply, Sequence[Fact]]:
        late = set(self.partition.ended.timed_out(command.key, command.users).values())
        barred = tuple(user for user in dict.fromkeys(command.users) if user in late)
        bar = (UsersBarred(users=barred, reason=LeaveReason.REMOVED),) if barred else ()
        room = self.partition.rooms.get(command.key)
        if room is None:
            return _no_such_room(), bar
        facts = room.remove(command.users)
        removed = tuple(
            RemovedSession(user=end.user, session=end.session, gateway=end.gateway, seq=fact.seq, former=end.former)
            for fact in facts
            if isinstance(fact, Left)
            for end in fact.sessions
        )
        present = {session.user for session in removed}
        not_found = tuple(user for user in dict.fromkeys(command.users) if user not in present)
        return RemoveReply(removed=removed, not_found=not_found), (*facts, *bar)

    def _dismiss(self, command: Dismiss) -> tuple[Reply, Sequence[Fact]]:
        late = self.partition.ended.timed_out(command.key, ())
        bar = (UsersBarred(users=(), reason=LeaveReason.DISMISSED),) if late else ()
        room = self.partition.rooms.get(command.key)
        if room is None:
            return _no_such_room(), bar
        facts = room.dismiss()
        reply = DismissReply(
            incarnation=room.incarnation,
            seq=facts[-1].seq,
            sessions=len(room.sessions),
            attachments=dict(Counter(gateway for session in room.sessions.values() for gateway in session.gateways)),
        )
        return reply, (*facts, *bar)

    def _decision(self, command: RoomCommand, reply: Reply, facts: Sequence[Fact] = (), remembered: Remembered | None = None) -> Decision:
        """Spread facts over messages. Every command leaves at least one: its reply waits for a commit after the decision."""
        return Decision(reply, tuple(self._events(command, facts, remembered)))

    def _events(self, command: RoomCommand, facts: Sequence[Fact], remembered: Remembered | None) -> Iterator[Event]:
        chunks = list(_chunks(facts)) or [()]
        for number, chunk in enumerate(chunks, start=1):
            last = remembered if number == len(chunks) else None
            message = _message(self.partition, command.key, command.id, self.now, chunk, command.correlation, last)
            yield Event(command.key, command.verb, message)


def _message(  # noqa: PLR0917 -- they are the message's
    partition: Partition,
    key: RoomKey | None,
    command: str,
    now: int,
    facts: Sequence[Fact],
    correlation: str | None = None,
    remembered: Remembered | None = None,
) -> Committed:
    return Committed(
        command=command,
        correlation=correlation or command,
        at=max(now, partition.at),
        app=key.app if key else None,
        room=key.room if key else None,
        remembered=remembered,
        facts=tuple(facts),
    )


def _chunks(facts: Sequence[Fact]) -> Iterator[Sequence[Fact]]:
    return (facts[start : start + MAX_FACTS_PER_MESSAGE] for start in range(0, len(facts), MAX_FACTS_PER_MESSAGE))


def _session(partition: Partition, command: Join | Resume | Leave | SwitchRole) -> Session | None:
    room = partition.rooms.get(command.key)
    return None if room is None else room.sessions.get(command.session)


def _roster(room: Room, without: Collection[str]) -> tuple[Peer, ...]:
    return tuple(_peer(peer.id, peer.user) for peer in room.anchors.values() if peer.id not in without)


@functools.lru_cache(maxsize=16_384)
def _peer(session: str, user: str) -> Peer:
    """Describe an anchor. Everybody who comes is told of everybody who is there."""
    return Peer(session=session, user=user)


def _refusal(code: RefusalCode, message: str, *, retry: bool = False) -> Refusal:
    return Refusal(code=code, message=message, retry=retry)


def _session_ended(ended: Ended) -> Refusal:
    return Refusal(
        code=RefusalCode.SESSION_ENDED,
        message=f"the session has ended: {ended.reason}",
        reason=ended.reason,
        command=ended.command,
        correlation=ended.correlation,
        user=ended.user,
    )


def _superseded() -> Refusal:
    return _refusal(RefusalCode.SUPERSEDED, "the session was attached anew since")


def _no_such_room() -> Refusal:
    return _refusal(RefusalCode.ROOM_NOT_EXIST, "there is no such room")


def _digest(command: RoomCommand) -> str:
    """Digest what a command asks for: the same question has the same digest, however often it is sent."""
    return hashlib.sha256(command.model_dump_json(exclude={"correlation", "expires_at"}).encode()).hexdigest()

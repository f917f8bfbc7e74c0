"""One life of one room.

A room is an immutable value. A method named like a command returns the facts that the command causes; :func:`evolve`
is the only way from one room to the next. Every ending names sessions, so one that comes late ends nobody else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from shared.contracts.commands import Join, Role
from shared.contracts.facts import MAX_SESSIONS_PER_FACT, Dissolved, Joined, Left, RoomFact, SessionEnd
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason


@dataclass(frozen=True, slots=True)
class Session:
    """One stay of one userId in one room."""

    id: str
    user: str
    role: Role
    gateway: str
    attachment: int = 1

    def end(self) -> SessionEnd:
        """Describe this session in a fact of its ending."""
        return SessionEnd(session=self.id, user=self.user, role=self.role, gateway=self.gateway)


@dataclass(frozen=True, slots=True)
class Room:
    """A room between two facts. Its mappings are never changed, only replaced."""

    key: RoomKey
    incarnation: str
    seq: int = 0
    """Of the last fact."""
    sessions: Mapping[str, Session] = field(default_factory=dict)
    anchors: Mapping[str, Session] = field(default_factory=dict)
    """The sessions that others see, by session id; at most one of a userId."""
    users: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The session ids of each userId."""

    def of_user(self, user: str) -> tuple[Session, ...]:
        """Return the sessions of a userId: at most one anchor, any number of audience."""
        return tuple(self.sessions[session] for session in self.users.get(user, ()))

    def anchor_of(self, user: str) -> Session | None:
        """Return the anchor session of a userId."""
        return next((session for session in self.of_user(user) if session.role is Role.ANCHOR), None)

    def join(self, command: Join) -> tuple[RoomFact, ...]:
        """Let a session in; an anchor of the same userId leaves before it. Joining twice changes nothing."""
        if command.session in self.sessions:
            return ()
        older = self.anchor_of(command.user) if command.role is Role.ANCHOR else None
        left = self._left(LeaveReason.REPLACED, [] if older is None else [older])
        joined = Joined(
            incarnation=self.incarnation,
            seq=self.seq + len(left) + 1,
            session=command.session,
            user=command.user,
            role=command.role,
            gateway=command.gateway,
        )
        return (*left, joined)

    def leave(self, session: str, reason: LeaveReason) -> tuple[RoomFact, ...]:
        """End one session, if it is still here."""
        return self._left(reason, [self.sessions[session]] if session in self.sessions else [])

    def remove(self, users: Iterable[str]) -> tuple[RoomFact, ...]:
        """End all sessions of some users."""
        return self._left(LeaveReason.REMOVED, [session for user in dict.fromkeys(users) for session in self.of_user(user)])

    def dismiss(self) -> tuple[RoomFact, ...]:
        """End this life of the room."""
        return (Dissolved(incarnation=self.incarnation, seq=self.seq + 1),)

    def lose(self, lost: Callable[[str], bool]) -> tuple[RoomFact, ...]:
        """End the sessions of the gateways for which ``lost`` says so."""
        return self._left(LeaveReason.TIMED_OUT, [s for s in self.sessions.values() if lost(s.gateway)])

    def _left(self, reason: LeaveReason, sessions: list[Session]) -> tuple[Left, ...]:
        chunks = [sessions[start : start + MAX_SESSIONS_PER_FACT] for start in range(0, len(sessions), MAX_SESSIONS_PER_FACT)]
        return tuple(
            Left(incarnation=self.incarnation, seq=self.seq + number, reason=reason, sessions=tuple(s.end() for s in chunk))
            for number, chunk in enumerate(chunks, start=1)
        )


def evolve(room: Room, fact: RoomFact) -> Room:
    """Apply one committed fact. A room without sessions after a whole message has come to its end.

    Raises:
        ValueError: the fact is not the next one of this room.
    """
    if fact.incarnation != room.incarnation or fact.seq != room.seq + 1:
        raise ValueError(f"{room.incarnation}#{room.seq} cannot be followed by {fact.incarnation}#{fact.seq}")
    match fact:
        case Joined():
            return _with(room, fact.seq, Session(fact.session, fact.user, fact.role, fact.gateway, fact.attachment))
        case Left():
            return _without(room, fact)
        case Dissolved():
            return Room(room.key, room.incarnation, fact.seq)


def _with(room: Room, seq: int, session: Session) -> Room:
    added = {session.id: session}
    return replace(
        room,
        seq=seq,
        sessions={**room.sessions, **added},
        anchors={**room.anchors, **added} if session.role is Role.ANCHOR else room.anchors,
        users={**room.users, session.user: (*room.users.get(session.user, ()), session.id)},
    )


def _without(room: Room, fact: Left) -> Room:
    sessions, anchors, users = dict(room.sessions), dict(room.anchors), dict(room.users)
    for end in fact.sessions:
        del sessions[end.session]
        anchors.pop(end.session, None)
        others = tuple(session for session in users.pop(end.user) if session != end.session)
        if others:
            users[end.user] = others
    return replace(room, seq=fact.seq, sessions=sessions, anchors=anchors, users=users)

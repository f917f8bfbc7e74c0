"""One life of one room.

A room is an immutable value. A method named like a command returns the facts that the command causes; :func:`evolve`
is the only way from one room to the next. Every ending names sessions, so one that comes late ends nobody else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

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
    """A room between two facts."""

    key: RoomKey
    incarnation: str
    seq: int = 0
    """Of the last fact."""
    sessions: Mapping[str, Session] = field(default_factory=lambda: MappingProxyType({}))

    def of_user(self, user: str) -> tuple[Session, ...]:
        """Return the sessions of a userId: at most one anchor, any number of audience."""
        return tuple(session for session in self.sessions.values() if session.user == user)

    def anchors(self) -> tuple[Session, ...]:
        """Return the sessions that others see."""
        return tuple(session for session in self.sessions.values() if session.role is Role.ANCHOR)

    def join(self, command: Join) -> tuple[RoomFact, ...]:
        """Let a session in; an anchor of the same userId leaves before it. Joining twice changes nothing."""
        if command.session in self.sessions:
            return ()
        replaced = [s for s in self.of_user(command.user) if s.role is Role.ANCHOR] if command.role is Role.ANCHOR else []
        left = self._left(LeaveReason.REPLACED, replaced)
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
        wanted = set(users)
        return self._left(LeaveReason.REMOVED, [s for s in self.sessions.values() if s.user in wanted])

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
    sessions = dict(room.sessions)
    match fact:
        case Joined():
            sessions[fact.session] = Session(fact.session, fact.user, fact.role, fact.gateway, fact.attachment)
        case Left():
            for end in fact.sessions:
                del sessions[end.session]
        case Dissolved():
            sessions.clear()
    return replace(room, seq=fact.seq, sessions=MappingProxyType(sessions))

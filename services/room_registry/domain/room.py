"""One life of one room.

A room is an immutable value. A method named like a command returns the facts that the command causes; :func:`evolve`
is the only way from one room to the next. Every ending names sessions, so one that comes late ends nobody else; what a
gateway says about a session names the attachment, so one that was replaced says nothing about the later one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from shared.contracts.commands import Detach, Join, Resume, Role, SwitchRole
from shared.contracts.facts import (
    MAX_SESSIONS_PER_FACT,
    Attached,
    Detached,
    Dissolved,
    Joined,
    Left,
    RoleSwitched,
    RoomFact,
    SessionEnd,
)
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason

_CHANGES_KEPT = 8


class Former(NamedTuple):
    """A gateway that held a session, and has not said yet that it holds nothing of it any more."""

    gateway: str
    attachment: int


class Change(NamedTuple):
    """A command that attached a session anew or switched its role, and the attachment that it left current."""

    command: str
    attachment: int


@dataclass(frozen=True, slots=True)
class Session:
    """One stay of one userId in one room."""

    id: str
    user: str
    role: Role
    gateway: str
    attachment: int = 1
    token: str | None = None
    """The digest of what a resume must show."""
    former: tuple[Former, ...] = ()
    changes: tuple[Change, ...] = ()
    """The last few, so that a command that comes again changes nothing again."""

    @property
    def gateways(self) -> tuple[str, ...]:
        """Those that hold it: the current one first."""
        return (self.gateway, *(former.gateway for former in self.former))

    def end(self) -> SessionEnd:
        """Describe this session in a fact of its ending."""
        return SessionEnd(session=self.id, user=self.user, role=self.role, gateway=self.gateway, former=self.gateways[1:])

    def former_after(self, gateway: str) -> tuple[Former, ...]:
        """Say which gateways would be former ones if the session were attached to ``gateway`` now."""
        return tuple(former for former in (*self.former, Former(self.gateway, self.attachment)) if former.gateway != gateway)

    def change_by(self, command: str) -> Change | None:
        """Return what a command has changed, if it has."""
        return next((change for change in self.changes if change.command == command), None)

    def changed(self, command: str, attachment: int) -> tuple[Change, ...]:
        """Return the changes with one more."""
        return (*self.changes, Change(command, attachment))[-_CHANGES_KEPT:]


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
        left = self._replaced(command.user, command.role)
        joined = Joined(
            incarnation=self.incarnation,
            seq=self.seq + len(left) + 1,
            session=command.session,
            user=command.user,
            role=command.role,
            gateway=command.gateway,
            token=command.token,
        )
        return (*left, joined)

    def resume(self, command: Resume) -> tuple[RoomFact, ...]:
        """Attach a session that is here to another gateway, or to the same one anew. Twice is once."""
        session = self.sessions[command.session]
        if session.change_by(command.id) is not None:
            return ()
        attached = Attached(
            incarnation=self.incarnation,
            seq=self.seq + 1,
            session=session.id,
            user=session.user,
            role=session.role,
            gateway=command.gateway,
            attachment=session.attachment + 1,
        )
        return (attached,)

    def detach(self, command: Detach) -> tuple[RoomFact, ...]:
        """Take a gateway out of a session's former ones, unless it held a later attachment, too."""
        session = self.sessions.get(command.session)
        found = next((former for former in session.former if former.gateway == command.gateway), None) if session else None
        if found is None or found.attachment > command.attachment:
            return ()
        detached = Detached(
            incarnation=self.incarnation,
            seq=self.seq + 1,
            session=command.session,
            gateway=found.gateway,
            attachment=found.attachment,
        )
        return (detached,)

    def switch_role(self, command: SwitchRole) -> tuple[RoomFact, ...]:
        """Give a session that is here the role; an anchor of the same userId leaves before. Twice is once."""
        session = self.sessions[command.session]
        if session.role is command.role or session.change_by(command.id) is not None:
            return ()
        left = self._replaced(session.user, command.role)
        switched = RoleSwitched(
            incarnation=self.incarnation,
            seq=self.seq + len(left) + 1,
            session=session.id,
            user=session.user,
            role=command.role,
            gateway=session.gateway,
        )
        return (*left, switched)

    def leave(self, session: str, reason: LeaveReason) -> tuple[RoomFact, ...]:
        """End one session, if it is still here."""
        return self._left(reason, [self.sessions[session]] if session in self.sessions else [])

    def remove(self, users: Iterable[str]) -> tuple[RoomFact, ...]:
        """End all sessions of some users."""
        return self._left(LeaveReason.REMOVED, [session for user in dict.fromkeys(users) for session in self.of_user(user)])

    def dismiss(self) -> tuple[RoomFact, ...]:
        """End this life of the room."""
        return (Dissolved(incarnation=self.incarnation, seq=self.seq + 1),)

    def lose(self, gateway: str) -> tuple[RoomFact, ...]:
        """End the sessions that are attached to a gateway."""
        return self._left(LeaveReason.TIMED_OUT, [s for s in self.sessions.values() if s.gateway == gateway])

    def without_former(self, gateway: str) -> "Room":
        """Return the room with that gateway among no session's former ones: it cannot detach itself any more."""
        released = {
            session.id: replace(session, former=tuple(former for former in session.former if former.gateway != gateway))
            for session in self.sessions.values()
            if gateway in session.gateways[1:]
        }
        anchors = {id_: session for id_, session in released.items() if id_ in self.anchors}
        return replace(self, sessions={**self.sessions, **released}, anchors={**self.anchors, **anchors})

    def _replaced(self, user: str, role: Role) -> tuple[Left, ...]:
        older = self.anchor_of(user) if role is Role.ANCHOR else None
        return self._left(LeaveReason.REPLACED, [] if older is None else [older])

    def _left(self, reason: LeaveReason, sessions: list[Session]) -> tuple[Left, ...]:
        chunks = [sessions[start : start + MAX_SESSIONS_PER_FACT] for start in range(0, len(sessions), MAX_SESSIONS_PER_FACT)]
        return tuple(
            Left(incarnation=self.incarnation, seq=self.seq + number, reason=reason, sessions=tuple(s.end() for s in chunk))
            for number, chunk in enumerate(chunks, start=1)
        )


def evolve(room: Room, fact: RoomFact, command: str) -> Room:
    """Apply one committed fact, of the command with that id. A room without sessions after a whole message has come to its end.

    Raises:
        ValueError: the fact is not the next one of this room.
        LookupError: it is about a session that is not here.
    """
    if fact.incarnation != room.incarnation or fact.seq != room.seq + 1:
        raise ValueError(f"{room.incarnation}#{room.seq} cannot be followed by {fact.incarnation}#{fact.seq}")
    match fact:
        case Joined():
            session = Session(fact.session, fact.user, fact.role, fact.gateway, fact.attachment, fact.token)
            return _with(room, fact.seq, session, {**room.users, session.user: (*room.users.get(session.user, ()), session.id)})
        case Attached():
            return _with(room, fact.seq, _attached(room.sessions[fact.session], fact, command))
        case Detached():
            session = room.sessions[fact.session]
            former = tuple(former for former in session.former if former.gateway != fact.gateway)
            return _with(room, fact.seq, replace(session, former=former))
        case RoleSwitched():
            session = room.sessions[fact.session]
            return _with(room, fact.seq, replace(session, role=fact.role, changes=session.changed(command, session.attachment)))
        case Left():
            return _without(room, fact)
        case Dissolved():
            return Room(room.key, room.incarnation, fact.seq)


def _attached(session: Session, fact: Attached, command: str) -> Session:
    return replace(
        session,
        gateway=fact.gateway,
        attachment=fact.attachment,
        former=session.former_after(fact.gateway),
        changes=session.changed(command, fact.attachment),
    )


def _with(room: Room, seq: int, session: Session, users: Mapping[str, tuple[str, ...]] | None = None) -> Room:
    anchors = room.anchors
    if session.role is Role.ANCHOR:
        anchors = {**anchors, session.id: session}
    elif session.id in anchors:
        anchors = {id_: anchor for id_, anchor in anchors.items() if id_ != session.id}
    sessions = {**room.sessions, session.id: session}
    # Not replace(): this is done for every join of every room, by every replica.
    return Room(room.key, room.incarnation, seq, sessions, anchors, room.users if users is None else users)


def _without(room: Room, fact: Left) -> Room:
    sessions, anchors, users = dict(room.sessions), dict(room.anchors), dict(room.users)
    for end in fact.sessions:
        del sessions[end.session]
        anchors.pop(end.session, None)
        others = tuple(session for session in users.pop(end.user) if session != end.session)
        if others:
            users[end.user] = others
    return Room(room.key, room.incarnation, fact.seq, sessions, anchors, users)

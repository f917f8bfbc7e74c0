"""What a partition has come to, as lines of text, and back. A pure function of the stream's prefix: the same messages, the same lines."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from services.room_registry.domain.ended import Ended
from services.room_registry.domain.partition import Limits, Lost, Partition
from services.room_registry.domain.room import Change, Former, Room, Session
from shared.contracts.commands import Role
from shared.contracts.facts import Remembered
from shared.contracts.ids import RoomKey
from shared.contracts.messages import Message
from shared.contracts.reasons import LeaveReason


class UnreadableSnapshotError(ValueError):
    """The lines are not what :func:`dump` makes."""


class _Head(Message):
    kind: Literal["head"] = "head"
    last_seq: int
    at: int
    owner: str
    epoch: int
    lives: int
    lines: int
    """How many follow."""


class _Session(Message):
    id: str
    user: str
    role: Role
    gateway: str
    attachment: int
    token: str | None = None
    former: tuple[Former, ...] = ()
    changes: tuple[Change, ...] = ()


class _Room(Message):
    kind: Literal["room"] = "room"
    app: int
    room: int | str
    incarnation: str
    seq: int
    sessions: tuple[_Session, ...]


class _Ended(Message):
    kind: Literal["ended"] = "ended"
    at: int
    session: str
    app: int
    room: int | str
    reason: LeaveReason
    command: str
    correlation: str
    user: str | None = None
    token: str | None = None
    gateways: tuple[str, ...] = ()


class _Answer(Message):
    kind: Literal["answer"] = "answer"
    at: int
    app: int
    command: str
    remembered: Remembered


class _Lost(Message):
    kind: Literal["lost"] = "lost"
    at: int
    gateway: str
    command: str
    silent: bool


_Line = Annotated[_Head | _Room | _Ended | _Answer | _Lost, Field(discriminator="kind")]
_line: TypeAdapter[_Line] = TypeAdapter(_Line)


def dump(partition: Partition) -> Iterator[bytes]:
    """Return the lines of a partition as it is now, made one by one as they are read: it may change meanwhile."""
    rooms = list(partition.rooms.values())
    ended, answers, lost = partition.ended.items(), partition.answers.items(), partition.lost.items()
    head = _Head(
        last_seq=partition.last_seq,
        at=partition.at,
        owner=partition.owner,
        epoch=partition.epoch,
        lives=partition.lives,
        lines=len(rooms) + len(ended) + len(answers) + len(lost),
    )

    def lines() -> Iterator[Message]:
        yield head
        yield from map(_room, rooms)
        for session, at, end in ended:
            yield _ended(session, at, end)
        for (app, command), at, remembered in answers:
            yield _Answer(at=at, app=app, command=command, remembered=remembered)
        for gateway, at, loss in lost:
            yield _Lost(at=at, gateway=gateway, command=loss.command, silent=loss.silent)

    return (line.to_bytes() for line in lines())


def restore(limits: Limits, lines: Iterable[bytes]) -> Partition:
    """Make the partition that was dumped.

    Raises:
        UnreadableSnapshotError: the lines are not of this version, or not all.
    """
    partition = Partition(limits)
    try:
        records = [_line.validate_json(line) for line in lines]
        head, rest = next(iter(records), None), records[1:]
        if not isinstance(head, _Head) or head.lines != len(rest):
            raise UnreadableSnapshotError("the head does not fit the lines")
        partition.resume_at(last_seq=head.last_seq, at=head.at, owner=head.owner, epoch=head.epoch, lives=head.lives)
        for line in rest:
            _put(partition, line)
    except ValidationError as error:
        raise UnreadableSnapshotError(f"a line cannot be read: {error.errors(include_input=False)[0]['msg']}") from error
    return partition


def _put(partition: Partition, line: _Line) -> None:
    match line:
        case _Room():
            partition.put_room(_room_of(line))
        case _Ended():
            key = RoomKey(line.app, line.room)
            end = Ended(key, line.reason, line.command, line.correlation, line.user, line.token, line.gateways)
            partition.ended.keep(line.session, end, line.at)
        case _Answer():
            partition.answers.keep((line.app, line.command), line.remembered, line.at)
        case _Lost():
            partition.lost.keep(line.gateway, Lost(line.command, line.silent), line.at)
        case _Head():
            raise UnreadableSnapshotError("there is a second head")


def _room(room: Room) -> _Room:
    return _Room(
        app=room.key.app,
        room=room.key.room,
        incarnation=room.incarnation,
        seq=room.seq,
        sessions=tuple(
            _Session(
                id=session.id,
                user=session.user,
                role=session.role,
                gateway=session.gateway,
                attachment=session.attachment,
                token=session.token,
                former=session.former,
                changes=session.changes,
            )
            for session in room.sessions.values()
        ),
    )


def _room_of(line: _Room) -> Room:
    sessions = {
        each.id: Session(each.id, each.user, each.role, each.gateway, each.attachment, each.token, each.former, each.changes)
        for each in line.sessions
    }
    anchors = {session.id: session for session in sessions.values() if session.role is Role.ANCHOR}
    users: dict[str, tuple[str, ...]] = {}
    for session in sessions.values():
        users[session.user] = (*users.get(session.user, ()), session.id)
    return Room(RoomKey(line.app, line.room), line.incarnation, line.seq, sessions, anchors, users)


def _ended(session: str, at: int, end: Ended) -> _Ended:
    return _Ended(
        at=at,
        session=session,
        app=end.key.app,
        room=end.key.room,
        reason=end.reason,
        command=end.command,
        correlation=end.correlation,
        user=end.user,
        token=end.token,
        gateways=end.gateways,
    )

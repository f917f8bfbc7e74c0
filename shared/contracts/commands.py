"""Commands: what may be asked of the registry, in the imperative.

A command travels on ``stagedoor.v1.cmd.<partition|_>.<app>.<room>.<verb>``. The subject says verb, app and room; the
body repeats app and room, and one that disagrees is refused.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.contracts.ids import CommandId, CorrelationId, GatewayId, Milliseconds, RoomId, RoomKey, SdkAppId, SessionId, UserId
from shared.contracts.messages import Message
from shared.contracts.reasons import LeaveReason

MAX_USERS_PER_REMOVE = 10


class Role(StrEnum):
    """What a session may do: an anchor sends and receives, an audience member receives."""

    ANCHOR = "anchor"
    AUDIENCE = "audience"


class Verb(StrEnum):
    """The last token of a command's subject, and of its committed message's."""

    JOIN = "join"
    LEAVE = "leave"
    REMOVE = "remove"
    DISMISS = "dismiss"
    ANNOUNCE = "announce"
    EPOCH = "epoch"
    """Never asked for: the message with which an owner takes a partition over."""


class Command(Message):
    """What every command carries."""

    verb: ClassVar[Verb]

    id: CommandId
    """Chosen by the sender; a repetition with the same id has the same answer and causes nothing again."""
    correlation: CorrelationId | None = None
    """Follows the command through every log line to the browser's message; the id where it is absent."""
    expires_at: Milliseconds | None = None
    """No owner decides the command after this; absent, it does not expire."""


class RoomCommand(Command):
    """A command on one room."""

    app: SdkAppId
    room: RoomId

    @property
    def key(self) -> RoomKey:
        """The room's full name."""
        return RoomKey(self.app, self.room)


class Join(RoomCommand):
    """Let a session in. By gateways only."""

    verb = Verb.JOIN
    session: SessionId
    user: UserId
    role: Role
    gateway: GatewayId


class Leave(RoomCommand):
    """End a session that ended by itself or was lost. By gateways only."""

    verb = Verb.LEAVE
    session: SessionId
    reason: Literal[LeaveReason.LEFT, LeaveReason.TIMED_OUT]


class Remove(RoomCommand):
    """Make all sessions of some users leave. By the administrator."""

    verb = Verb.REMOVE
    users: Annotated[tuple[UserId, ...], Field(min_length=1, max_length=MAX_USERS_PER_REMOVE)]


class Dismiss(RoomCommand):
    """Dissolve the room: everybody leaves. By the administrator."""

    verb = Verb.DISMISS


class Announce(Command):
    """A gateway has started: end what its earlier boots held, in one partition. Its app and room tokens are ``_``."""

    verb = Verb.ANNOUNCE
    gateway: GatewayId


ROOM_COMMANDS: dict[Verb, type[RoomCommand]] = {model.verb: model for model in (Join, Leave, Remove, Dismiss)}

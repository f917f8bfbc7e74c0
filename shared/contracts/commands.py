"""Commands: what may be asked of the registry, in the imperative.

A command travels on ``stagedoor.v1.cmd.<partition|_>.<app>.<room>.<verb>``. The subject says verb, app and room; the
body repeats app and room, and one that disagrees is refused.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.contracts.ids import (
    CommandId,
    CorrelationId,
    GatewayId,
    Milliseconds,
    RoomId,
    RoomKey,
    SdkAppId,
    SessionId,
    TokenDigest,
    UserId,
)
from shared.contracts.messages import Message
from shared.contracts.reasons import LeaveReason

MAX_USERS_PER_REMOVE = 10
Attachment = Annotated[int, Field(strict=True, ge=1)]
"""Number of a session's attachment to a gateway: a join is 1, each resume the next. What a gateway sends about a session
carries it, and does nothing where it is not the current one."""


class Role(StrEnum):
    """What a session may do: an anchor sends and receives, an audience member receives."""

    ANCHOR = "anchor"
    AUDIENCE = "audience"


class Verb(StrEnum):
    """The last token of a command's subject, and of its committed message's."""

    JOIN = "join"
    RESUME = "resume"
    LEAVE = "leave"
    SWITCH_ROLE = "switch_role"
    DETACH = "detach"
    REMOVE = "remove"
    DISMISS = "dismiss"
    EPOCH = "epoch"
    """Never asked for: the message with which an owner takes a partition over."""
    LOSE = "lose"
    """Never asked for: what an owner writes when a gateway is lost."""
    GROUP = "group"
    """Never asked for: several commands' events in one message."""


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
    token: TokenDigest | None = None
    """Whoever shows the token may resume the session; without one it cannot be resumed."""
    yields: bool = False
    """Stay out where another session holds the userId's anchor slot, instead of replacing it."""


class Resume(RoomCommand):
    """Attach a session to a gateway anew, the same or another. By gateways only."""

    verb = Verb.RESUME
    session: SessionId
    token: TokenDigest
    gateway: GatewayId


class Leave(RoomCommand):
    """End a session that ended by itself or was lost. By gateways only."""

    verb = Verb.LEAVE
    session: SessionId
    attachment: Attachment = 1
    reason: Literal[LeaveReason.LEFT, LeaveReason.TIMED_OUT]


class SwitchRole(RoomCommand):
    """Make an anchor of an audience member, or the other way round. By gateways only."""

    verb = Verb.SWITCH_ROLE
    session: SessionId
    attachment: Attachment
    role: Role


class Detach(RoomCommand):
    """A gateway whose attachment is not the current one any more holds nothing of it. By gateways only."""

    verb = Verb.DETACH
    session: SessionId
    attachment: Attachment
    gateway: GatewayId


class Remove(RoomCommand):
    """Make all sessions of some users leave. By the administrator."""

    verb = Verb.REMOVE
    users: Annotated[tuple[UserId, ...], Field(min_length=1, max_length=MAX_USERS_PER_REMOVE)]


class Dismiss(RoomCommand):
    """Dissolve the room: everybody leaves. By the administrator."""

    verb = Verb.DISMISS


ROOM_COMMANDS: dict[Verb, type[RoomCommand]] = {model.verb: model for model in (Join, Resume, Leave, SwitchRole, Detach, Remove, Dismiss)}

"""Facts: what has happened, in the past tense. Only what is committed to the stream exists.

A command leaves one message on ``stagedoor.v1.evt.<partition>.<app>.<room>.<verb>`` with all its facts in order; a
command that changed nothing leaves one without facts. (An ending that is too large for one message takes several.)
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.commands import Role
from shared.contracts.ids import CommandId, CorrelationId, GatewayId, Incarnation, Milliseconds, RoomId, SdkAppId, SessionId, UserId
from shared.contracts.messages import Message
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import Reply

MAX_SESSIONS_PER_FACT = 500
MAX_FACTS_PER_MESSAGE = 2
"""With the longest ids this is half a megabyte of JSON: half of what a server takes by default."""


class _InRoom(Message):
    """What every fact of a room carries."""

    incarnation: Incarnation
    """Which life of the room: ``<owner epoch>.<counter>``."""
    seq: Annotated[int, Field(ge=1)]
    """1, 2, 3 ... without a gap within the incarnation."""


class SessionEnd(Message):
    """One session in a :class:`Left`."""

    session: SessionId
    user: UserId
    role: Role
    gateway: GatewayId


class Joined(_InRoom):
    """A session came in. It stays until a :class:`Left` names it or its incarnation is :class:`Dissolved`."""

    kind: Literal["joined"] = "joined"
    session: SessionId
    user: UserId
    role: Role
    gateway: GatewayId
    attachment: Annotated[int, Field(ge=1)] = 1
    """Number of the attachment to a gateway; a join is number 1."""


class Left(_InRoom):
    """Sessions ended, all for one reason."""

    kind: Literal["left"] = "left"
    reason: LeaveReason
    sessions: Annotated[tuple[SessionEnd, ...], Field(min_length=1, max_length=MAX_SESSIONS_PER_FACT)]


class Dissolved(_InRoom):
    """The room was dismissed: the ending of every session of this incarnation, with reason ``dismissed``."""

    kind: Literal["dissolved"] = "dissolved"


class SessionBarred(Message):
    """A session ended that never came in: a leave overtook its join, which will be refused."""

    kind: Literal["barred"] = "barred"
    session: SessionId
    reason: LeaveReason


class Announced(Message):
    """A gateway's boot is known to the partition; earlier boots of its name hold nothing any more."""

    kind: Literal["announced"] = "announced"
    gateway: GatewayId


class EpochBegan(Message):
    """An owner took the partition over; the message's sequence in the stream is its fencing token."""

    kind: Literal["epoch_began"] = "epoch_began"
    owner: str


RoomFact = Joined | Left | Dissolved
Fact = Annotated[RoomFact | SessionBarred | Announced | EpochBegan, Field(discriminator="kind")]


class Remembered(Message):
    """The answer of a command that a repetition of the same command gets, too."""

    digest: str
    """Of the command's content: the same id with another content is refused."""
    answer: Reply


class Committed(Message):
    """One message of the stream."""

    command: CommandId
    correlation: CorrelationId
    at: Milliseconds
    """Never lower than the message before in the same partition."""
    app: SdkAppId | None = None
    room: RoomId | None = None
    remembered: Remembered | None = None
    facts: tuple[Fact, ...] = ()

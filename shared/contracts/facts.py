"""Facts: what has happened, in the past tense. Only what is committed to the stream exists.

A command leaves one :class:`Committed` with all its facts in order; a command that changed nothing leaves one without facts.
(An ending that is too large for one message takes several.) Alone it is a message of the stream on
``stagedoor.v1.evt.<partition>.<app>.<room>.<verb>``; what is committed together is one message, a :class:`Group` on
``stagedoor.v1.evt.<partition>._._.group``. events.py reads and writes both.
"""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.commands import MAX_USERS_PER_REMOVE, Attachment, Role, Verb
from shared.contracts.ids import (
    CommandId,
    CorrelationId,
    GatewayId,
    Incarnation,
    Milliseconds,
    RoomId,
    SdkAppId,
    SessionId,
    TokenDigest,
    UserId,
)
from shared.contracts.messages import Message
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import Reply

MAX_SESSIONS_PER_FACT = 500
MAX_FACTS_PER_MESSAGE = 2
MAX_EVENTS_PER_MESSAGE = 256
MAX_FORMER_GATEWAYS = 4
"""With the longest ids and as many former gateways, a message has 0.9 MB of JSON; a server takes 1 MiB by default."""


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
    """Where it was attached."""
    former: Annotated[tuple[GatewayId, ...], Field(max_length=MAX_FORMER_GATEWAYS)] = ()
    """Gateways that held an earlier attachment and have not said yet that they hold nothing any more."""


class Joined(_InRoom):
    """A session came in. It stays until a :class:`Left` names it or its incarnation is :class:`Dissolved`."""

    kind: Literal["joined"] = "joined"
    session: SessionId
    user: UserId
    role: Role
    gateway: GatewayId
    attachment: Attachment = 1
    token: TokenDigest | None = None


class Attached(_InRoom):
    """A session was resumed: it lives on this gateway from now on, and any other lets go of it."""

    kind: Literal["attached"] = "attached"
    session: SessionId
    user: UserId
    role: Role
    gateway: GatewayId
    attachment: Attachment


class Detached(_InRoom):
    """A former gateway holds nothing of the session any more."""

    kind: Literal["detached"] = "detached"
    session: SessionId
    gateway: GatewayId
    attachment: Attachment
    """The one it held."""


class RoleSwitched(_InRoom):
    """A session's role is another one now. As anchor it is seen by the others, as audience it is not."""

    kind: Literal["role_switched"] = "role_switched"
    session: SessionId
    user: UserId
    role: Role
    gateway: GatewayId


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


class UsersBarred(Message):
    """Users were removed, or everybody was: those of their sessions in this room that timed out before count as such."""

    kind: Literal["users_barred"] = "users_barred"
    users: Annotated[tuple[UserId, ...], Field(max_length=MAX_USERS_PER_REMOVE)]
    """Nobody named is everybody."""
    reason: Literal[LeaveReason.REMOVED, LeaveReason.DISMISSED]


class GatewayLost(Message):
    """A gateway is lost to the partition: it takes no sessions any more, and those it held end in the messages that follow."""

    kind: Literal["gateway_lost"] = "gateway_lost"
    gateway: GatewayId
    silent: bool = True
    """Nothing leaves it any more. False where it never stops by itself: what it was to report stays open."""


class EpochBegan(Message):
    """An owner took the partition over; the message's sequence in the stream is its fencing token."""

    kind: Literal["epoch_began"] = "epoch_began"
    owner: str


RoomFact = Joined | Attached | Detached | RoleSwitched | Left | Dissolved
Fact = Annotated[RoomFact | SessionBarred | UsersBarred | GatewayLost | EpochBegan, Field(discriminator="kind")]


class Remembered(Message):
    """The answer of a command that a repetition of the same command gets, too."""

    digest: str
    """Of the command's content: the same id with another content is refused."""
    answer: Reply


class Committed(Message):
    """What one command has come to."""

    command: CommandId
    correlation: CorrelationId
    at: Milliseconds
    """Never lower than the message before in the same partition."""
    app: SdkAppId | None = None
    room: RoomId | None = None
    remembered: Remembered | None = None
    facts: tuple[Fact, ...] = ()


class Grouped(Message):
    """One command's part of a :class:`Group`."""

    verb: Verb
    event: Committed


class Group(Message):
    """Several commands that were committed together: all of them are in the stream or none, in this order."""

    events: Annotated[tuple[Grouped, ...], Field(min_length=2, max_length=MAX_EVENTS_PER_MESSAGE)]

"""Replies: what the registry answers, once the decision is committed."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.commands import Attachment, Role
from shared.contracts.errors import RefusalCode
from shared.contracts.ids import CommandId, CorrelationId, GatewayId, Incarnation, RoomId, SdkAppId, SessionId, UserId
from shared.contracts.messages import Message
from shared.contracts.reasons import LeaveReason


class Peer(Message):
    """An anchor in a room, as others see it."""

    session: SessionId
    user: UserId


class JoinReply(Message):
    """The session is in."""

    kind: Literal["join"] = "join"
    incarnation: Incarnation
    seq: int
    """The roster holds every fact up to this one; apply only later ones to it."""
    roster: tuple[Peer, ...]
    """The other anchors."""


class ResumeReply(Message):
    """The session is attached to the gateway that asked."""

    kind: Literal["resume"] = "resume"
    incarnation: Incarnation
    seq: int
    roster: tuple[Peer, ...]
    """As in :class:`JoinReply`."""
    attachment: Attachment
    user: UserId
    role: Role


class SwitchRoleReply(Message):
    """The session has the role."""

    kind: Literal["switch_role"] = "switch_role"


class DetachReply(Message):
    """The gateway is not among those that hold the session."""

    kind: Literal["detach"] = "detach"


class LeaveReply(Message):
    """The session is not in the room any more, or is attached anew since."""

    kind: Literal["leave"] = "leave"


class RemovedSession(Message):
    """One session that a removal ended."""

    user: UserId
    session: SessionId
    gateway: GatewayId
    seq: int
    former: tuple[GatewayId, ...] = ()
    """Other gateways that may hold media of it and must report, too."""


class RemoveReply(Message):
    """Who was removed, and who was not there."""

    kind: Literal["remove"] = "remove"
    removed: tuple[RemovedSession, ...]
    not_found: tuple[UserId, ...]


class DismissReply(Message):
    """The room is dissolved."""

    kind: Literal["dismiss"] = "dismiss"
    incarnation: Incarnation
    seq: int
    sessions: int
    """How many sessions that ended."""
    attachments: Mapping[GatewayId, Annotated[int, Field(ge=1)]]
    """How many of them each gateway held, as the current or a former one: of so many it has to report."""


class Refusal(Message):
    """The command was not carried out."""

    kind: Literal["refusal"] = "refusal"
    code: RefusalCode
    message: str
    retry: bool = False
    """The same command, with the same id, may succeed later."""
    reason: LeaveReason | None = None
    """With ``session_ended``: how the session ended, the command that ended it, and whose session it was."""
    command: CommandId | None = None
    correlation: CorrelationId | None = None
    user: UserId | None = None


Reply = Annotated[
    JoinReply | ResumeReply | LeaveReply | SwitchRoleReply | DetachReply | RemoveReply | DismissReply | Refusal,
    Field(discriminator="kind"),
]


class AnswerQuery(Message):
    """Ask what a removal or a dismissal was answered, while that is remembered."""

    app: SdkAppId
    command: CommandId


class AnswerReply(Message):
    """What is remembered of a command."""

    answer: Reply | None = None
    """None: it is not known, or not any more."""
    lost: tuple[GatewayId, ...] = ()
    """Of the gateways that the answer names, those that were declared lost: nothing leaves them any more."""


class RoomSummary(Message):
    """A room as an operator's listing shows it."""

    app: SdkAppId
    room: RoomId
    incarnation: Incarnation
    seq: int
    anchors: tuple[UserId, ...]
    """The first 50, sorted."""
    anchor_count: int
    audience_count: int


class RoomsQuery(Message):
    """Ask one partition for its rooms, in the order of their names."""

    after: str | None = None
    """Continue after the page that ended with this cursor."""
    limit: Annotated[int, Field(ge=1, le=200)] = 200


class RoomsReply(Message):
    """One page of a partition's rooms."""

    rooms: tuple[RoomSummary, ...]
    after: str | None = None
    """The cursor of the next page; none, this is the last."""

"""Replies: what the registry answers, once the decision is committed."""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.errors import RefusalCode
from shared.contracts.ids import GatewayId, Incarnation, RoomId, SdkAppId, SessionId, UserId
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


class LeaveReply(Message):
    """The session is not in the room any more."""

    kind: Literal["leave"] = "leave"


class RemovedSession(Message):
    """One session that a removal ended."""

    user: UserId
    session: SessionId
    gateway: GatewayId
    seq: int


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


class AnnounceReply(Message):
    """The gateway may serve; so many sessions of its earlier boots were ended."""

    kind: Literal["announce"] = "announce"
    ended: int


class Refusal(Message):
    """The command was not carried out."""

    kind: Literal["refusal"] = "refusal"
    code: RefusalCode
    message: str
    retry: bool = False
    """The same command, with the same id, may succeed later."""
    reason: LeaveReason | None = None
    """With ``session_ended``: how the session ended."""


Reply = Annotated[JoinReply | LeaveReply | RemoveReply | DismissReply | AnnounceReply | Refusal, Field(discriminator="kind")]


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

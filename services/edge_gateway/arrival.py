"""What is asked at the door: to come in, or to go on with a session over another socket."""

from dataclasses import dataclass, field
from typing import ClassVar

from services.edge_gateway.protocol import JoinRequest, Mode, ResumeRequest
from shared.contracts.commands import Role
from shared.contracts.ids import RoomKey


@dataclass(frozen=True)
class _Arrival:
    request: int
    """The id of the request, for the reply."""
    key: RoomKey
    session: str
    mode: Mode
    token: str = field(repr=False)
    """The secret with which the session can be resumed. It leaves the process for its browser only."""


@dataclass(frozen=True)
class Joining(_Arrival):
    """A join that was authenticated."""

    kind: ClassVar = "join"
    user: str
    role: Role
    yields: bool


@dataclass(frozen=True)
class Resuming(_Arrival):
    """A resume with a token that was made for the session; whether it still counts is for the registry to say."""

    kind: ClassVar = "resume"
    known: int
    """The last attachment that its client was told of; 0 where it does not say."""


Arrival = Joining | Resuming


def joining(request: JoinRequest, session: str, token: str) -> Joining:
    """Make a new session of a join."""
    return Joining(
        request=request.id,
        key=RoomKey(request.app, request.room),
        session=session,
        mode=request.mode,
        token=token,
        user=request.user,
        role=request.effective_role,
        yields=request.yields,
    )


def resuming(request: ResumeRequest) -> Resuming:
    """Take up the session that a resume names."""
    return Resuming(
        request=request.id,
        key=RoomKey(request.app, request.room),
        session=request.session,
        mode=request.mode,
        token=request.token,
        known=request.attachment,
    )

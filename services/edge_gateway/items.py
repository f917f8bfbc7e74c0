"""What is posted to a session's inbox, beside the client's messages, the room's changes and the engine's offers."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from services.edge_gateway import protocol
from services.edge_gateway.ending import Ending
from services.edge_gateway.local_media import LocalMedia
from services.edge_gateway.media.interface import Connection, Offer, Stopped
from services.edge_gateway.protocol import RequestRefusedError
from shared.contracts.commands import Role
from shared.contracts.facts import Dissolved, Left, RoomFact
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import JoinReply, ResumeReply
from shared.tracing import Context


@dataclass(frozen=True)
class Heard:
    """A committed fact of the room."""

    fact: RoomFact
    command: str
    correlation: str
    at: float
    """When, on the monotonic clock."""
    trace: Context
    """What caused it, where that is traced."""
    media_stopped: asyncio.Future[Stopped] | None = None
    """When the media of those that it ends has been stopped, where that is done for many together."""

    @cached_property
    def may_end_many(self) -> bool:
        """Whether the fact is not about one session."""
        return isinstance(self.fact, Dissolved) or len(self._named) > 1

    def ending_of(self, session: str) -> Ending | None:
        """Return how the fact ends a session; None where it does not."""
        return self._ending if session in self._named or isinstance(self.fact, Dissolved) else None

    @cached_property
    def _ending(self) -> Ending:
        reason = self.fact.reason if isinstance(self.fact, Left) else LeaveReason.DISMISSED
        return Ending(reason, self.command, self.correlation, self.at, self.trace)

    @cached_property
    def _named(self) -> frozenset[str]:
        return frozenset(end.session for end in self.fact.sessions) if isinstance(self.fact, Left) else frozenset()


@dataclass(frozen=True)
class Answered:
    """The registry's answer to the join or resume."""

    answer: JoinReply | ResumeReply | RequestRefusedError


@dataclass(frozen=True)
class SwitchDone:
    """The registry's answer to a switch of the role."""

    request: int
    role: Role
    refusal: RequestRefusedError | None


@dataclass(frozen=True)
class LeaveDone:
    """The leave was answered, and all that was committed before has been heard: there will be no fact of it."""


@dataclass(frozen=True)
class DetachDone:
    """The detach was answered, and all that was committed before has been heard."""


@dataclass(frozen=True)
class SocketGone:
    """The browser's socket is closed. ``lost`` is without a word, or with the gateway's end; otherwise the browser has left."""

    lost: bool


@dataclass(frozen=True)
class GraceOver:
    """The reconnect grace may be over."""


@dataclass(frozen=True)
class StreamsChanged:
    """Somebody of this gateway in the room has started or stopped publishing."""


@dataclass(frozen=True)
class MediaLost:
    """A peer connection is no more; what there is of media has it among what is lost."""

    connection: Connection


@dataclass(frozen=True)
class Yield:
    """A later attachment of the session on this gateway asks for what there is of media.

    ``inherit`` is called with it, if there is any, before ``answered`` is resolved; every exit resolves it.
    """

    inherit: Callable[[LocalMedia], None]
    answered: asyncio.Future[None]

    def answer(self) -> None:
        """Say that there is nothing more to wait for."""
        if not self.answered.done():
            self.answered.set_result(None)


@dataclass(frozen=True)
class Disowned:
    """The stream does not assign the session to this gateway."""


@dataclass(frozen=True)
class Move:
    """The gateway is about to end: the browser had better go on elsewhere."""


@dataclass(frozen=True)
class Closing:
    """The gateway ends now."""


Item = (
    Heard
    | Answered
    | SwitchDone
    | LeaveDone
    | DetachDone
    | SocketGone
    | GraceOver
    | StreamsChanged
    | MediaLost
    | Yield
    | Disowned
    | Move
    | Closing
    | Offer
    | protocol.FromClient
)

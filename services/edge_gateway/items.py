"""What is posted to a session's inbox, beside the client's messages, the room's changes and the engine's offers."""

from dataclasses import dataclass

from services.edge_gateway import protocol
from services.edge_gateway.media.interface import Offer
from services.edge_gateway.protocol import RequestRefusedError
from shared.contracts.facts import RoomFact
from shared.contracts.replies import JoinReply


@dataclass(frozen=True)
class Heard:
    """A committed fact of the room."""

    fact: RoomFact
    command: str
    correlation: str


@dataclass(frozen=True)
class JoinDone:
    """The registry's answer to the join."""

    answer: JoinReply | RequestRefusedError


@dataclass(frozen=True)
class LeaveDone:
    """The registry has ended the session, or did not know it."""


@dataclass(frozen=True)
class SocketGone:
    """The browser's socket is closed, or closing with the gateway."""

    code: int


@dataclass(frozen=True)
class GraceOver:
    """The reconnect grace is over."""


@dataclass(frozen=True)
class StreamsChanged:
    """Somebody of this gateway in the room has started or stopped publishing."""


Item = Heard | JoinDone | LeaveDone | SocketGone | GraceOver | StreamsChanged | Offer | protocol.FromClient

"""The signalling messages of docs/protocol.md, as models. Every byte from a browser passes here first. Pure."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from services.edge_gateway.media.interface import Connection
from services.edge_gateway.stream import StreamKind
from shared.contracts.commands import Role
from shared.contracts.ids import RoomId, SdkAppId, SessionId, UserId

MAX_SIG_CHARACTERS = 8192
RequestId = Annotated[int, Field(strict=True, ge=1, le=2**53 - 1)]
StreamId = Annotated[str, Field(strict=True, max_length=64)]
Sdp = Annotated[str, Field(strict=True, max_length=65536)]
Token = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
Mode = Literal["rtc", "live"]
MutedKinds = Annotated[tuple[Literal["audio", "video"], ...], Field(max_length=2)]


class CloseCode:
    """Close codes; docs/protocol.md has the table."""

    ENDED = 1000
    TAB_CLOSED = 1001
    """From browsers only."""
    LOST = 1006
    """Never on the wire: there was no close frame (RFC 6455, section 7.4.1)."""
    NO_PONG = 1011
    GOING_AWAY = 1012
    PROTOCOL = 4400
    JOIN_REFUSED = 4403
    TIMEOUT = 4408
    SLOW = 4409
    SUPERSEDED = 4410
    FLOOD = 4429


class ErrorCode(StrEnum):
    """Codes of an error reply."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    UNAVAILABLE = "unavailable"
    ROOM_FULL = "room_full"
    TOO_MANY_SESSIONS = "too_many_sessions"
    ANCHOR_TAKEN = "anchor_taken"
    ROOM_ELSEWHERE = "room_elsewhere"
    SESSION_ENDED = "session_ended"
    SESSION_UNKNOWN = "session_unknown"
    INVALID_STATE = "invalid_state"
    NO_PERMISSION = "no_permission"
    UNKNOWN_STREAM = "unknown_stream"
    UNSUPPORTED_MEDIA = "unsupported_media"
    MEDIA_LIMIT = "media_limit"


class RequestRefusedError(Exception):
    """One request is answered with an error; the session goes on. ``details`` are further fields of the error."""

    def __init__(
        self, code: ErrorCode, message: str, *, extra: int = 0, retry: bool = False, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extra = extra
        self.retry = retry
        self.details = details or {}


class ProtocolError(Exception):
    """The client does not speak the protocol: it is told why, and the socket closes."""


class _FromClient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class JoinRequest(_FromClient):
    """The first message of a new session."""

    type: Literal["join"]
    id: RequestId
    protocol: Literal[1]
    app: SdkAppId
    user: UserId
    sig: Annotated[str, Field(strict=True, max_length=MAX_SIG_CHARACTERS)]
    room: RoomId
    role: Role = Role.ANCHOR
    mode: Mode
    yields: Annotated[bool, Field(strict=True)] = False

    @property
    def effective_role(self) -> Role:
        """In mode rtc everybody is an anchor."""
        return Role.ANCHOR if self.mode == "rtc" else self.role


class ResumeRequest(_FromClient):
    """The first message of a session's next socket."""

    type: Literal["resume"]
    id: RequestId
    protocol: Literal[1]
    app: SdkAppId
    room: RoomId
    session: SessionId
    token: Token
    mode: Mode = "live"
    attachment: Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)] = 0
    """The last that the client was told of: the gateway that had it has its media."""


class SwitchRoleRequest(_FromClient):
    """Become an anchor, or audience."""

    type: Literal["switch_role"]
    id: RequestId
    role: Role


class LeaveRequest(_FromClient):
    """Leave by oneself."""

    type: Literal["leave"]
    id: RequestId


class PublishRequest(_FromClient):
    """Offer what to send."""

    type: Literal["publish"]
    id: RequestId
    kind: StreamKind
    sdp: Sdp
    muted: MutedKinds = ()


class UnpublishRequest(_FromClient):
    """Stop sending."""

    type: Literal["unpublish"]
    id: RequestId
    stream: StreamId


class MuteRequest(_FromClient):
    """Say which kinds of one's own stream carry nothing now."""

    type: Literal["mute"]
    id: RequestId
    stream: StreamId
    muted: MutedKinds


class SubscribeRequest(_FromClient):
    """Say what is wanted of a stream."""

    type: Literal["subscribe"]
    id: RequestId
    stream: StreamId
    audio: Annotated[bool, Field(strict=True)]
    video: Annotated[bool, Field(strict=True)]
    size: Literal["big", "small"] = "big"


class UnsubscribeRequest(_FromClient):
    """Want nothing of a stream any more."""

    type: Literal["unsubscribe"]
    id: RequestId
    stream: StreamId


class ReconnectRequest(_FromClient):
    """Receive over another peer connection; what is wanted is said anew."""

    type: Literal["reconnect"]
    id: RequestId


class RestartIceRequest(_FromClient):
    """Look for a new way for a stream that is published, with an offer that asks for it; or for what is received."""

    type: Literal["restart_ice"]
    id: RequestId
    stream: StreamId | None = None
    sdp: Sdp | None = None

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if (self.stream is None) != (self.sdp is None):
            raise ValueError("a stream and the offer for it go together")
        return self


class IceServersRequest(_FromClient):
    """Ask for TURN credentials that last, for a new peer connection."""

    type: Literal["ice_servers"]
    id: RequestId


class Answer(_FromClient):
    """Answer the open offer."""

    type: Literal["answer"]
    number: Annotated[int, Field(strict=True, ge=1)]
    sdp: Sdp


class EndedAck(_FromClient):
    """The application was told of the session's end."""

    type: Literal["ended_ack"]


Request = (
    JoinRequest
    | ResumeRequest
    | LeaveRequest
    | SwitchRoleRequest
    | PublishRequest
    | UnpublishRequest
    | MuteRequest
    | SubscribeRequest
    | UnsubscribeRequest
    | ReconnectRequest
    | RestartIceRequest
    | IceServersRequest
)
FromClient = Annotated[Request | Answer | EndedAck, Field(discriminator="type")]
_from_client: TypeAdapter[FromClient] = TypeAdapter(FromClient)
_request_id: TypeAdapter[int] = TypeAdapter(RequestId)


class InvalidRequestError(RequestRefusedError):
    """A request that can be answered, for its id is sound, but not served."""

    def __init__(self, request_id: int, message: str) -> None:
        super().__init__(ErrorCode.BAD_REQUEST, message)
        self.request_id = request_id


def parse(text: str) -> FromClient:
    """Read one message of a client.

    Raises:
        InvalidRequestError: a known type with a sound id, and something wrong in it.
        ProtocolError: anything else that is no message.
    """
    try:
        return _from_client.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        problem = f"{'.'.join(map(str, first['loc'][1:])) or 'message'}: {first['msg']}"
        if first["type"] in ("union_tag_invalid", "union_tag_not_found", "json_invalid", "model_attributes_type", "dict_type"):
            raise ProtocolError(problem) from None
    try:
        request_id = _request_id.validate_python(TypeAdapter(dict[str, Any]).validate_json(text).get("id"))
    except ValidationError:
        raise ProtocolError(problem) from None
    raise InvalidRequestError(request_id, problem)


def encode(message: Mapping[str, Any]) -> str:
    """Write a message as it goes over the socket, in ASCII."""
    return json.dumps(message, separators=(",", ":"))


def result(request_id: int, value: dict[str, Any]) -> dict[str, Any]:
    """Build the reply to a request that was served."""
    return {"type": "reply", "id": request_id, "result": value}


def refusal(request_id: int, error: RequestRefusedError) -> dict[str, Any]:
    """Build the reply to a request that was not."""
    fields = {"code": error.code, "extra": error.extra, "message": error.message, "retry": error.retry}
    return {"type": "reply", "id": request_id, "error": {**fields, **error.details}}


def problem(message: str) -> dict[str, Any]:
    """Build what a client is told before it is cut off for breaking the protocol."""
    return {"type": "error", "code": ErrorCode.BAD_REQUEST, "message": message}


def move() -> dict[str, Any]:
    """Build the request to go on over another socket, on another gateway."""
    return {"type": "move"}


def media_lost(connection: Connection) -> dict[str, Any]:
    """Build the news that nothing will flow any more over one of the two peer connections."""
    return {"type": "media_lost", "connection": connection}


def ended(details: Mapping[str, Any]) -> dict[str, Any]:
    """Build the notice of a session's end, with its reason, its cause, and the words for the application where it is to hear any."""
    return {"type": "ended", **details}

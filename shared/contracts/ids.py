"""Identifiers: which ones are accepted, and how they become tokens of a NATS subject.

A room id is an ``int`` (1 to 4294967294) or a ``str`` (1 to 64 of the characters TRTC allows). The JSON type is the
kind: ``123`` and ``"123"`` are two rooms.
"""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

MAX_USER_ID_BYTES = 128
_STRING_ROOM = re.compile(r"[A-Za-z0-9\s!#$%&()+\-:;<=.>?@\[\]^_{}|~,]{1,64}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN = re.compile(r"[A-Za-z0-9_-]")
_TOKEN = re.compile(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+")


class InvalidIdError(ValueError):
    """A text that is no identifier of the kind it stands for."""


def _string_room(value: str) -> str:
    if not _STRING_ROOM.fullmatch(value):
        raise InvalidIdError("a string room id has 1 to 64 characters of A-Z a-z 0-9, white space and !#$%&()+-:;<=.>?@[]^_{}|~,")
    return value


def _user(value: str) -> str:
    if value.isascii() and value.isprintable() and 0 < len(value) <= MAX_USER_ID_BYTES and not value.isspace():
        # Most are, and this is asked of every userId in every message.
        return value
    # A line break in a userId would let one UserSig be read as another's: the signed text is made of lines.
    if not value.strip() or _CONTROL.search(value):
        raise InvalidIdError("a userId is not blank and has no control characters")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidIdError("a userId is valid Unicode") from error
    if size > MAX_USER_ID_BYTES:
        raise InvalidIdError(f"a userId has at most {MAX_USER_ID_BYTES} bytes of UTF-8")
    return value


SdkAppId = Annotated[int, Field(strict=True, ge=1, le=4294967295)]
NumericRoomId = Annotated[int, Field(strict=True, ge=1, le=4294967294)]
StringRoomId = Annotated[str, Field(strict=True), AfterValidator(_string_room)]
RoomId = NumericRoomId | StringRoomId
UserId = Annotated[str, Field(strict=True), AfterValidator(_user)]
SessionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
CommandId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CorrelationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
TokenDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a resume token, in hexadecimal. The token itself is the browser's and never on the bus."""
GatewayId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,63}_[0-9a-f]{16}$")]
Incarnation = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
Milliseconds = Annotated[int, Field(strict=True, ge=0)]
"""A point in Unix time, in milliseconds."""

_room_id: TypeAdapter[int | str] = TypeAdapter(RoomId)
_app_id: TypeAdapter[int] = TypeAdapter(SdkAppId)


class RoomKey(NamedTuple):
    """A room's full name: the app it belongs to and its id."""

    app: int
    room: int | str


def gateway_id(name: str, boot: str) -> str:
    """Name one boot of a gateway: its configured name and 16 random hexadecimal digits."""
    return f"{name}_{boot}"


def encode_token(text: str) -> str:
    """Encode any text as one subject token: all but ``[A-Za-z0-9_-]`` becomes ``=HH`` of its UTF-8 bytes."""
    return "".join(c if _PLAIN.match(c) else "".join(f"={byte:02X}" for byte in c.encode()) for c in text)


def decode_token(token: str) -> str:
    """Undo :func:`encode_token`.

    Raises:
        InvalidIdError: the token is not what ``encode_token`` makes of any text.
    """
    if not _TOKEN.fullmatch(token):
        raise InvalidIdError("not an encoded token")
    raw = re.sub(rb"=([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), token.encode())
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidIdError("not UTF-8 behind the encoding") from error
    if encode_token(text) != token:
        raise InvalidIdError("not the canonical encoding")
    return text


def room_token(room: int | str) -> str:
    """Encode a room id as one token: ``n123`` for number 123, ``s123`` for string ``"123"``."""
    return f"n{room}" if isinstance(room, int) else "s" + encode_token(room)


def parse_room_token(token: str) -> int | str:
    """Undo :func:`room_token`.

    Raises:
        InvalidIdError: the token names no room that may exist.
    """
    kind, rest = token[:1], token[1:]
    if kind == "s":
        return parse_room_id(decode_token(rest))
    if kind == "n" and re.fullmatch(r"[1-9][0-9]{0,9}", rest, re.ASCII):
        return parse_room_id(int(rest))
    raise InvalidIdError("not a room token")


def parse_app_token(token: str) -> int:
    """Read the app's token of a subject.

    Raises:
        InvalidIdError: the token is no sdkAppId.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,9}", token, re.ASCII):
        raise InvalidIdError("not an sdkAppId")
    try:
        return _app_id.validate_python(int(token))
    except ValueError as error:
        raise InvalidIdError("not an sdkAppId") from error


def parse_room_id(value: object) -> int | str:
    """Check a room id of either kind.

    Raises:
        InvalidIdError: it is neither a number nor a string that TRTC accepts.
    """
    try:
        return _room_id.validate_python(value)
    except ValueError as error:
        raise InvalidIdError("not a room id: a number from 1 to 4294967294, or a string of 1 to 64 allowed characters") from error

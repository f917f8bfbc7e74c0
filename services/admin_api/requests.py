"""The actions, and the checks of their parameters, in JSON (POST) or flattened in a query (GET).

Four are the vendor's; DescribeReceipt is ours.

Types are strict: a number is not its text, a room's JSON type is its kind. In a query everything is text, and a
number there has digits only.
"""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from services.admin_api.errors import ApiError, Code
from shared.contracts.commands import MAX_USERS_PER_REMOVE
from shared.contracts.ids import CommandId, NumericRoomId, SdkAppId, StringRoomId, UserId

VERSION: Final = "2019-07-22"

_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,20}", re.ASCII)
_INDEXED = re.compile(r"UserIds\.(0|[1-9][0-9]{0,3})", re.ASCII)
_MAX_FIELDS = 100


def _once(users: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(users))


UserIds = Annotated[tuple[UserId, ...], Field(min_length=1, max_length=MAX_USERS_PER_REMOVE), AfterValidator(_once), Field(alias="UserIds")]


class AppRequest(BaseModel):
    """What every action has."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    app: SdkAppId = Field(alias="SdkAppId")


class RoomRequest(AppRequest):
    """What every action on a room has."""

    room: int | str


class RemoveUser(RoomRequest):
    """Remove users from a room with a number."""

    room: NumericRoomId = Field(alias="RoomId")
    users: UserIds


class RemoveUserByStrRoomId(RoomRequest):
    """Remove users from a room with a string as its id."""

    room: StringRoomId = Field(alias="RoomId")
    users: UserIds


class DismissRoom(RoomRequest):
    """Dissolve a room with a number."""

    room: NumericRoomId = Field(alias="RoomId")


class DismissRoomByStrRoomId(RoomRequest):
    """Dissolve a room with a string as its id."""

    room: StringRoomId = Field(alias="RoomId")


class DescribeReceipt(AppRequest):
    """Say what became of a removal or a dismissal."""

    command: CommandId = Field(alias="CommandId")


RemoveRequest = RemoveUser | RemoveUserByStrRoomId
DismissRequest = DismissRoom | DismissRoomByStrRoomId
Request = RemoveRequest | DismissRequest | DescribeReceipt

ACTIONS: Final[dict[str, type[Request]]] = {
    model.__name__: model for model in (RemoveUser, RemoveUserByStrRoomId, DismissRoom, DismissRoomByStrRoomId, DescribeReceipt)
}


def find_action(action: str | None, version: str | None) -> type[Request]:
    """Find the model of an action's parameters.

    Raises:
        ApiError: there is no such action, or not in this version.
    """
    for name, value in (("Action", action), ("Version", version)):
        if not value:
            raise ApiError(Code.MISSING_PARAMETER, f"The request is missing a required parameter `{name}`.")
    if version != VERSION:
        raise ApiError(Code.NO_SUCH_VERSION, f"There is no such version; there is {VERSION}.")
    if action not in ACTIONS:
        raise ApiError(Code.INVALID_ACTION, f"There is no such action; there are {', '.join(ACTIONS)}.")
    return ACTIONS[action]


def read(model: type[Request], method: str, query: bytes, content_type: str, body: bytes) -> Request:
    """Read an action's parameters from where the method has them.

    Raises:
        ApiError: they are not what the action demands.
    """
    if method == "GET":
        return _check(model, _unflatten(query, numbers={"SdkAppId"} | ({"RoomId"} if model in (RemoveUser, DismissRoom) else set())))
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(Code.INVALID_REQUEST, "The body of a POST request is application/json.")
    return _check(model, _parse(body))


def _check(model: type[Request], parameters: Mapping[str, object]) -> Request:
    known = {field.alias for field in model.model_fields.values()}
    for name in parameters:
        if name not in known:
            # The name is the caller's text: keep it short, and in characters that every log and client can take.
            raise ApiError(Code.UNKNOWN_PARAMETER, f"The parameter {name[:64]!a} is not recognized.")
    try:
        # The vendor's clients leave out what is not set; others write null.
        return model.model_validate({name: value for name, value in parameters.items() if value is not None})
    except ValidationError as error:
        _explain(error)


def _explain(error: ValidationError) -> NoReturn:
    """Raise the error to mend first: what is not there, then what is wrong."""
    problems = [(each["type"], str(each["loc"][0]), each["msg"]) for each in error.errors(include_input=False, include_url=False)]
    for kind, name, _ in problems:
        if kind == "missing":
            raise ApiError(Code.MISSING_PARAMETER, f"The request is missing a required parameter `{name}`.", name) from None
    _, name, text = problems[0]
    raise ApiError(Code.INVALID_PARAMETER, f"The parameter `{name}` is not valid: {text}.", name) from None


def _parse(body: bytes) -> dict[str, Any]:
    try:
        parameters = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    # RecursionError is what a body of brackets alone leads to.
    except (ValueError, RecursionError):
        raise ApiError(Code.INVALID_PARAMETER, "The request body is not valid JSON in UTF-8.") from None
    if not isinstance(parameters, dict):
        raise ApiError(Code.INVALID_PARAMETER, "The request body is not a JSON object.")
    return parameters


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a repeated name: who signed it and who reads it could take another of the two."""
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ApiError(Code.INVALID_PARAMETER, "The request body has a parameter twice.")
    return unique


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _unflatten(query: bytes, numbers: set[str]) -> dict[str, object]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise ApiError(Code.INVALID_PARAMETER, "The query is not well-formed.") from None
    texts = dict(pairs)
    if len(texts) != len(pairs):
        raise ApiError(Code.INVALID_PARAMETER, "The query has a parameter twice.")
    parameters: dict[str, object] = {}
    users: dict[int, str] = {}
    for name, value in texts.items():
        if match := _INDEXED.fullmatch(name):
            users[int(match[1])] = value
        else:
            parameters[name] = int(value) if name in numbers and _NUMBER.fullmatch(value) else value
    if users and sorted(users) != list(range(len(users))):
        raise ApiError(Code.INVALID_PARAMETER, "UserIds are numbered from 0, with none left out.", "UserIds")
    if users:
        if "UserIds" in parameters:
            raise ApiError(Code.INVALID_PARAMETER, "UserIds is there in two forms.", "UserIds")
        parameters["UserIds"] = [users[index] for index in range(len(users))]
    return parameters

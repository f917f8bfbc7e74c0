"""Arguments of more than one command."""

import argparse
import os
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from shared.contracts.errors import ConfigurationError
from shared.contracts.ids import CommandId, InvalidIdError, SdkAppId, UserId, parse_room_id

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 -- argparse has no public name for it
else:
    Commands = object

_user: TypeAdapter[str] = TypeAdapter(UserId)
_app: TypeAdapter[int] = TypeAdapter(SdkAppId)
_command_id: TypeAdapter[str] = TypeAdapter(CommandId)


def user(text: str) -> str:
    """Read a userId."""
    try:
        return _user.validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(error.errors()[0]["msg"]) from None


def app(text: str) -> int:
    """Read an sdkAppId."""
    try:
        return _app.validate_python(int(text))
    except ValueError:
        raise argparse.ArgumentTypeError("an sdkAppId is a number from 1 to 4294967295") from None


def number_room(text: str) -> int | str:
    """Read the id of a room that has a number."""
    try:
        return parse_room_id(int(text))
    except ValueError:
        raise argparse.ArgumentTypeError("a number from 1 to 4294967294; for a room named by a string use --str-room") from None


def string_room(text: str) -> int | str:
    """Read the id of a room that has a string."""
    try:
        return parse_room_id(text)
    except InvalidIdError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def command_id(text: str) -> str:
    """Read a command id."""
    try:
        return _command_id.validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError("1 to 64 of A-Z a-z 0-9 _ -") from None


def add_app(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names an app."""
    parser.add_argument("--app", type=app, default=os.environ.get("STAGEDOOR_SDK_APP_ID"), help="the sdkAppId (STAGEDOOR_SDK_APP_ID)")


def required_app(arguments: argparse.Namespace) -> int:
    """Return the app, which may come from the environment.

    Raises:
        ConfigurationError: it comes from nowhere.
    """
    if arguments.app is None:
        raise ConfigurationError("which app? give --app, or set STAGEDOOR_SDK_APP_ID")
    return int(arguments.app)


def add_room(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a room."""
    add_app(parser)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--room", type=number_room, help="a room that has a number")
    kind.add_argument("--str-room", type=string_room, dest="room", metavar="ROOM", help="a room that has a string")

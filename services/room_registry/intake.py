"""The door for commands: every byte from the bus is hostile until it has passed here. Pure."""

from pydantic import ValidationError

from shared.contracts.commands import ROOM_COMMANDS, RoomCommand
from shared.contracts.errors import RefusalCode, RefusedError
from shared.contracts.ids import InvalidIdError
from shared.contracts.subjects import parse_subject, partition_of

MAX_COMMAND_BYTES = 64 * 1024


def parse_command(subject: str, data: bytes, partition: int, partitions: int) -> RoomCommand:
    """Read a command that came to the owner of ``partition`` of ``partitions``.

    Raises:
        RefusedError: it is none, or not one for this partition.
    """
    if len(data) > MAX_COMMAND_BYTES:
        raise _bad(f"a command has at most {MAX_COMMAND_BYTES} bytes")
    try:
        address = parse_subject(subject)
    except InvalidIdError as error:
        raise _bad(f"subject: {error}") from error
    if address.key is None:
        raise _bad(f"{address.verb} needs an app and a room")
    model = ROOM_COMMANDS.get(address.verb)
    if model is None:
        raise _bad(f"{address.verb} is no command on a room")
    command = _validate(model, data)
    if command.key != address.key:
        raise _bad("the body names another app or room than the subject")
    if partition_of(command.key, partitions) != partition:
        raise RefusedError(RefusalCode.WRONG_PARTITION, f"the room is in partition {partition_of(command.key, partitions)} of {partitions}")
    return command


def _validate(model: type[RoomCommand], data: bytes) -> RoomCommand:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise _bad(f"{where}: {first['msg']}") from None


def _bad(message: str) -> RefusedError:
    return RefusedError(RefusalCode.BAD_REQUEST, message)

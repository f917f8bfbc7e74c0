"""`stagedoor remove`, `dismiss` and `rooms`: the same commands, on the same bus, that admin_api sends."""

import argparse
import secrets
from collections.abc import AsyncIterator

import nats.errors
from nats.aio.client import Client
from pydantic import ValidationError

from cli.arguments import Commands, add_room, command_id, required_app, user
from cli.bus import connected
from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient, deadline
from shared.contracts.commands import MAX_USERS_PER_REMOVE, Dismiss, Remove
from shared.contracts.errors import ConfigurationError, UnavailableError
from shared.contracts.replies import RoomsQuery, RoomsReply, RoomSummary
from shared.contracts.subjects import ROOMS

_COMMAND_SECONDS = 10.0


def add_to(commands: Commands) -> None:
    """Add the commands."""
    remove = commands.add_parser("remove", help="make users leave a room", description="Make users leave a room. It is no ban.")
    add_room(remove)
    remove.add_argument("--user", type=user, action="append", required=True, dest="users", help="a userId; may be repeated")
    remove.add_argument("--id", type=command_id, help="a command id of your own: the same id again is the same command")
    remove.set_defaults(run=run_remove)
    dismiss = commands.add_parser("dismiss", help="dissolve a room", description="Dissolve a room: everybody leaves.")
    add_room(dismiss)
    dismiss.add_argument("--id", type=command_id, help="a command id of your own: the same id again is the same command")
    dismiss.set_defaults(run=run_dismiss)
    rooms = commands.add_parser("rooms", help="list the rooms", description="List the rooms and who is in them.")
    rooms.add_argument("--json", action="store_true", help="one JSON object a line")
    rooms.set_defaults(run=run_rooms)


async def run_remove(arguments: argparse.Namespace) -> int:
    """Send the command through the door and print who was removed."""
    if len(set(arguments.users)) > MAX_USERS_PER_REMOVE:
        raise ConfigurationError(f"one command removes at most {MAX_USERS_PER_REMOVE} users")
    async with connected() as connection:
        reply = await CommandClient(connection).send(Remove(**_common(arguments), users=tuple(dict.fromkeys(arguments.users))))
    for removed in reply.removed:
        print(f"removed    {removed.user}  session {removed.session} on {removed.gateway}")
    for absent in reply.not_found:
        print(f"not there  {absent}")
    return 0


async def run_dismiss(arguments: argparse.Namespace) -> int:
    """Send the command through the door and print how many it concerned."""
    async with connected() as connection:
        reply = await CommandClient(connection).send(Dismiss(**_common(arguments)))
    print(f"dismissed  {reply.sessions} session{'' if reply.sessions == 1 else 's'}")
    return 0


async def run_rooms(arguments: argparse.Namespace) -> int:
    """Ask every partition for its rooms and print them."""
    count = 0
    async with connected() as connection:
        for partition in range(await EventStream(connection).partitions()):
            async for room in _rooms(connection, partition):
                count += 1
                print(room.model_dump_json() if arguments.json else _line(room))
    if not count and not arguments.json:
        print("no rooms")
    return 0


async def _rooms(connection: Client, partition: int) -> AsyncIterator[RoomSummary]:
    after: str | None = None
    while True:
        query = RoomsQuery(after=after).to_bytes()
        try:
            message = await connection.request(ROOMS.pattern.format(partition=partition), query, timeout=_COMMAND_SECONDS)
            page = RoomsReply.model_validate_json(message.data)
        except (nats.errors.Error, TimeoutError, ValidationError) as error:
            raise UnavailableError(f"no registry serves partition {partition} at the moment") from error
        for room in page.rooms:
            yield room
        after = page.after
        if after is None:
            return


def _line(room: RoomSummary) -> str:
    kind = "--room" if isinstance(room.room, int) else "--str-room"
    more = ", ..." if room.anchor_count > len(room.anchors) else ""
    anchors = f"anchors {room.anchor_count}: {', '.join(room.anchors)}{more}"
    return f"app {room.app}  {kind} {room.room!r}  {anchors}  audience {room.audience_count}"


def _common(arguments: argparse.Namespace) -> dict[str, object]:
    return {
        "id": arguments.id or secrets.token_hex(16),
        "app": required_app(arguments),
        "room": arguments.room,
        "expires_at": deadline(_COMMAND_SECONDS),
    }

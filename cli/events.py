"""`stagedoor events`: what was committed, one JSON object a line."""

import argparse
import json
from collections.abc import Callable

from nats.aio.client import Client

from cli.arguments import Commands, add_app, number_room, string_room
from cli.bus import connected
from shared.bus.follower import Follower
from shared.bus.stream import EventStream, Stored
from shared.contracts.events import read_events
from shared.contracts.ids import RoomKey
from shared.contracts.subjects import partition_in


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "events",
        help="print what was committed",
        description="Print what commands came to, one JSON object a line: its place in the stream, and its facts, in order.",
    )
    add_app(parser)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--room", type=number_room, help="only of this room, that has a number")
    kind.add_argument("--str-room", type=string_room, dest="room", metavar="ROOM", help="only of this room, that has a string")
    parser.add_argument("--after", type=int, default=0, metavar="SEQ", help="only what has a higher sequence in the stream")
    parser.add_argument("--follow", action="store_true", help="go on with what is committed from now on; nothing is left out")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Read the stream, and follow it where that is asked for."""

    def show(stored: Stored) -> None:
        if stored.seq <= arguments.after:
            return
        for key, verb, message in read_events(stored.subject, stored.data):
            if arguments.room is None or (key is not None and _is(key, arguments)):
                line = {"seq": stored.seq, "partition": partition_in(stored.subject), "verb": verb}
                print(json.dumps(line | message.model_dump(mode="json", exclude_none=True), ensure_ascii=False), flush=True)

    async with connected() as connection:
        await (_follow if arguments.follow else _read)(connection, arguments.after, show)
    return 0


def _is(key: RoomKey, arguments: argparse.Namespace) -> bool:
    return key.room == arguments.room and (arguments.app is None or key.app == int(arguments.app))


async def _read(connection: Client, after: int, show: Callable[[Stored], None]) -> None:
    stream = EventStream(connection)
    async for stored in stream.read(after, await stream.last_seq()):
        show(stored)


async def _follow(connection: Client, after: int, show: Callable[[Stored], None]) -> None:
    stream = EventStream(connection)
    follower = Follower(connection, stream, show)
    await follower.start(min(after, await stream.last_seq()))
    await follower.run()

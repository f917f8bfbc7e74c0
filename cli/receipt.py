"""`stagedoor receipt`: what became of a command, as far as gateways have reported."""

import argparse
import datetime as dt

from cli.arguments import Commands, add_app, command_id, required_app
from cli.bus import connected
from shared.clients.gathering import Gathering
from shared.clients.receipts import Receipts


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "receipt",
        help="say what became of a removal or a dismissal",
        description="Print the receipts of a command: confirmed is stopped and told, fenced is stopped. They are kept for a day.",
    )
    add_app(parser)
    parser.add_argument("--id", required=True, type=command_id, help="the command id: CommandId of the answer, or your own")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Read the stream of receipts."""
    gathering = Gathering()
    async with connected() as connection:
        await Receipts(connection).read(required_app(arguments), arguments.id, gathering)
    for session, (gateway, receipt) in sorted(gathering.sessions.items(), key=lambda item: item[1].receipt.user):
        told = "" if receipt.told_at is None else f"  told {_time(receipt.told_at)}"
        stopped = f"media stopped {_time(receipt.media_stopped_at)}"
        print(f"{receipt.state:<9}  {receipt.user}  session {session} on {gateway}  {stopped}{told}")
    if not gathering.sessions:
        print("no receipts: the id is unknown, nobody was removed, or it is pending")
        return 1
    return 0


def _time(milliseconds: int) -> str:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat(timespec="milliseconds")

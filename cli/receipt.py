"""`stagedoor receipt`: what became of a command, by the registry's answer and what gateways have reported."""

import argparse
import datetime as dt

from cli.arguments import Commands, add_app, command_id, required_app
from cli.bus import connected
from shared.clients.answers import Answers
from shared.clients.gathering import Gathering
from shared.clients.outcomes import SessionOutcome, counts_of, outcomes_of
from shared.clients.receipts import Receipts
from shared.contracts.errors import RefusedError
from shared.contracts.replies import AnswerReply, DismissReply, Refusal, RemoveReply

_ANSWER_SECONDS = 5.0


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "receipt",
        help="say what became of a removal or a dismissal",
        description="Print what became of a command: confirmed is stopped and told, fenced is stopped, pending is neither for certain. "
        "After 15 minutes only what gateways have reported is known, for a day.",
    )
    add_app(parser)
    parser.add_argument("--id", required=True, type=command_id, help="the command id: CommandId of the answer, or your own")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Ask the registry for the answer, and read the stream of receipts."""
    app = required_app(arguments)
    gathering = Gathering()
    async with connected() as connection:
        remembered = await Answers(connection).ask(app, arguments.id, _ANSWER_SECONDS)
        await Receipts(connection).read(app, arguments.id, gathering)
    return _print(remembered, gathering)


def _print(remembered: AnswerReply, gathering: Gathering) -> int:
    answer = remembered.answer
    if isinstance(answer, Refusal):
        raise RefusedError(answer.code, answer.message)
    reply = answer if isinstance(answer, RemoveReply | DismissReply) else None
    if reply is None and not gathering.sessions:
        print("no receipts: the id is unknown, or nothing is known of it any more")
        return 1
    for outcome in sorted(outcomes_of(reply, gathering, remembered.lost), key=lambda each: each.user):
        print(_line(outcome))
    if isinstance(reply, RemoveReply):
        for absent in reply.not_found:
            print(f"not there  {absent}")
    elif isinstance(reply, DismissReply):
        confirmed, fenced, pending = counts_of(reply, gathering, remembered.lost)
        print(f"dismissed  {reply.sessions}: {confirmed} confirmed, {fenced} fenced, {pending} pending")
    else:
        print("only what gateways have reported: the answer is not remembered any more")
    return 0


def _line(outcome: SessionOutcome) -> str:
    stopped = "" if outcome.media_stopped_at is None else f"  media stopped {_time(outcome.media_stopped_at)}"
    told = "" if outcome.told_at is None else f"  told {_time(outcome.told_at)}"
    return f"{outcome.state:<9}  {outcome.user}  session {outcome.session} on {outcome.gateway}{stopped}{told}"


def _time(milliseconds: int) -> str:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat(timespec="milliseconds")

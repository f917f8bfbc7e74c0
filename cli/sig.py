"""`stagedoor sig`: sign a UserSig with the configured key."""

import argparse
import time

from cli.arguments import Commands, user
from shared.auth.settings import AppSettings
from shared.auth.usersig import sign


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("sig", help="sign a UserSig", description="Print a UserSig, made with STAGEDOOR_SECRET_KEY.")
    parser.add_argument("--user", required=True, type=user, help="the userId that it is for")
    parser.add_argument("--expire", type=int, default=86_400, metavar="SECONDS", help="how long it is valid (%(default)s)")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    settings = AppSettings.load()
    app = settings.apps().app(settings.sdk_app_id)
    assert app is not None
    print(sign(app, arguments.user, int(time.time()), arguments.expire))
    return 0

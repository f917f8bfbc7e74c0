"""`stagedoor sig`: sign a UserSig with the configured key."""

import argparse
import time

from cli.arguments import Commands, add_app, required_app, user
from shared.auth.settings import AppSettings
from shared.auth.usersig import sign
from shared.contracts.errors import ConfigurationError


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sig", help="sign a UserSig", description="Print a UserSig, made with STAGEDOOR_SECRET_KEY, or a key of STAGEDOOR_APPS_FILE."
    )
    add_app(parser)
    parser.add_argument("--user", required=True, type=user, help="the userId that it is for")
    parser.add_argument("--expire", type=int, default=86_400, metavar="SECONDS", help="how long it is valid (%(default)s)")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Print it.

    Raises:
        ConfigurationError: the app is none of those that are configured.
    """
    number = required_app(arguments)
    app = AppSettings.load().apps().app(number)
    if app is None:
        raise ConfigurationError(f"app {number} is not configured")
    print(sign(app, arguments.user, int(time.time()), arguments.expire))
    return 0

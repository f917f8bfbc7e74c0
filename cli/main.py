"""The `stagedoor` command: rooms from the shell, and everything on one machine.

Exit codes: 0 done, 1 refused or failed, 2 the command line is wrong.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from dotenv import dotenv_values

from cli import backup, check, events, nats_keys, receipt, rooms, sig, up
from shared import logging
from shared.contracts.errors import StagedoorError
from shared.contracts.ids import InvalidIdError


def main() -> None:
    """Run the command line."""
    # What `stagedoor up` generated here serves all commands; the environment wins.
    data_dir = Path(os.environ.get("STAGEDOOR_DATA_DIR") or ".stagedoor")
    for name, value in dotenv_values(data_dir / "dev.env").items():
        # Who comes with a key of the bus comes without its token.
        if name != "STAGEDOOR_NATS_TOKEN" or "STAGEDOOR_NATS_NKEY_FILE" not in os.environ:
            os.environ.setdefault(name, value or "")
    logging.configure("stagedoor", "error")
    parser = argparse.ArgumentParser(prog="stagedoor", description="Real-time rooms where a kick is a transaction.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for part in (up, rooms, receipt, events, sig, nats_keys, backup, check):
        part.add_to(commands)
    arguments = parser.parse_args()
    try:
        sys.exit(asyncio.run(arguments.run(arguments)))
    except InvalidIdError as error:
        parser.error(str(error))
    except StagedoorError as error:
        sys.exit(f"stagedoor: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

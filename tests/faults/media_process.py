"""The process of the visitors with media, seen from the outside."""

import asyncio
import json
import sys

from cli.nats_server import die_with_parent
from tests.faults.installation import ROOT


class MediaProcess:
    """Runs ``tests.faults.media`` and gives it its orders."""

    def __init__(self):
        self._process = None

    async def start(self, directory, seed, gateways, *words):
        """Start it."""
        command = (sys.executable, "-m", "tests.faults.media", str(directory), str(seed), *words)
        with (directory / "media.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        self.order(json.dumps(gateways))

    def order(self, order):
        """Give an order; one that has ended takes none."""
        if self._process.returncode is None:
            self._process.stdin.write(f"{order}\n".encode())

    async def end(self):
        """Have it end, and return its exit code."""
        self._process.stdin.close()
        return await self._process.wait()

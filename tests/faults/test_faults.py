"""The short form of the harness: two seeded runs of faults, on one nats-server and on three, and no promise broken."""

import asyncio
import re
import sys

import pytest

from cli.nats_server import die_with_parent
from tests.faults.installation import ROOT

MANY = 40


@pytest.mark.parametrize(("bus", "minutes", "seed"), [("--one", 0.75, 20261), ("--cluster", 0.5, 20262)], ids=["one", "cluster"])
async def test_the_promises_hold_while_things_die(bus, minutes, seed):
    """Processes are killed, frozen and cut off, sockets break at any byte; P1 to P7 hold. Reproduce: the seed is above."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults", bus, "--minutes", str(minutes), "--seed", str(seed)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=die_with_parent,
    )
    said = (await process.communicate())[0].decode()
    counts = re.fullmatch(rf"(\d+) operations, (\d+) faults, 0 violations \(seed {seed}\)", said.splitlines()[-1])
    assert counts, said
    assert process.returncode == 0
    # Enough was done for that to mean something.
    assert int(counts[1]) > MANY * 10
    assert int(counts[2]) > 5

"""One run: an installation, a load, faults, quiet, the end of everybody, and what the checker says."""

import asyncio
import contextlib
import sys

import nats

from tests.faults.checker import check
from tests.faults.collecting import collect, everybody_has_gone
from tests.faults.faults import Faults
from tests.faults.history import History, Violation
from tests.faults.installation import BUS_TOKEN, ISOLATION_GRACE, ISOLATION_MARGIN, RECONNECT_GRACE, Installation
from tests.faults.journal import Journal
from tests.faults.load import Load

_LOST_SECONDS = max(ISOLATION_GRACE + ISOLATION_MARGIN, RECONNECT_GRACE)
_QUIET_SECONDS = _LOST_SECONDS + 5
_GONE_SECONDS = 30.0
OPERATIONS = ("joined", "resumed", "refused", "left", "switched", "operation")


async def run(directory, *, seed, seconds, cluster, visitors=200, say=print):
    """Run for so many seconds of faults, in a network of one's own. Returns the numbers of operations and faults, and the violations."""
    directory.mkdir(parents=True, exist_ok=True)
    journal = Journal(directory / "log.jsonl")
    journal.write("settings", seed=seed, isolation_grace=ISOLATION_GRACE, reconnect_grace=RECONNECT_GRACE)
    installation = Installation(directory, cluster=cluster, hosts=True)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(journal.close)
        stack.push_async_callback(installation.stop)
        await installation.start()
        connection = await connect(installation)
        stack.push_async_callback(connection.close)
        load = Load(installation, journal, connection, seed, visitors=visitors)
        faults = Faults(installation, load, journal, seed)
        await load.start()
        saying = asyncio.create_task(_progress(journal, faults, say))
        try:
            await faults.run(seconds)
            say("quiet")
            await load.calm()
            await installation.ready()
            await asyncio.sleep(_QUIET_SECONDS)
            load.snapshot()
            say("the end of everybody")
            await asyncio.sleep(1)
            broken = await load.end()
            await _until_gone(connection, say)
        finally:
            saying.cancel()
        await collect(connection, directory)
    violations = await asyncio.to_thread(lambda: check(History.load(directory)))
    violations += [Violation("harness", text) for text in broken]
    return sum(journal.counts.get(what, 0) for what in OPERATIONS), faults.count, violations


async def connect(installation):
    """Connect to the bus, as an operator does."""

    async def pass_over(_error):
        """The bus goes and comes: that is what is tried here."""

    urls = installation.bus.url.split(",")
    return await nats.connect(
        urls, token=BUS_TOKEN, max_reconnect_attempts=-1, ping_interval=2, max_outstanding_pings=2, error_cb=pass_over
    )


async def _until_gone(connection, say):
    """Wait until leases and graces are over. Who is still there then is found by the checker."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GONE_SECONDS):
            while not await everybody_has_gone(connection):
                await asyncio.sleep(1)
            return
    say(f"somebody is still there after {_GONE_SECONDS:.0f} s")


async def _progress(journal, faults, say):
    while True:
        await asyncio.sleep(10)
        operations = sum(journal.counts.get(what, 0) for what in OPERATIONS)
        say(f"{operations} operations, {faults.count} faults")


def summarise(operations, faults, violations, seed, write=sys.stdout.write):
    """Print the violations, and one line of counts."""
    for violation in violations[:20]:
        write(f"{violation}\n")
    if len(violations) > 20:
        write(f"... and {len(violations) - 20} more\n")
    write(f"{operations} operations, {faults} faults, {len(violations)} violations (seed {seed})\n")

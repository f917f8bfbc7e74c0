"""Run the harness: ``python -m tests.faults --minutes M --seed S [--cluster]``. Non-zero exit if a promise was broken.

It leaves the machine's network for one of its own: as another user than root it needs user namespaces, and it needs iproute2.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from pathlib import Path

import structlog

from tests.browser.in_namespace import own_network
from tests.faults.run import run, summarise


def main():
    """Run once; without --cluster and --one, half of the time each."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long faults are injected, all in all")
    parser.add_argument("--seed", type=int, default=None, help="decides what happens; any if it is not given")
    parser.add_argument("--visitors", type=int, default=200)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--cluster", action="store_true", help="three nats-servers only")
    kind.add_argument("--one", action="store_true", help="one nats-server only")
    parser.add_argument("--keep", type=Path, default=None, help="directory for what a run leaves behind")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)  # noqa: S311 -- no secret
    forms = [False] * (not arguments.cluster) + [True] * (not arguments.one)
    own_network()
    # The harness's own commands are sent again and again while the bus is away.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    totals = [0, 0, []]
    with tempfile.TemporaryDirectory() as temporary:
        for cluster in forms:
            directory = (arguments.keep or Path(temporary)) / ("cluster" if cluster else "one")
            seconds = arguments.minutes * 60 / len(forms)
            sys.stdout.write(f"{'three nats-servers' if cluster else 'one nats-server'}, seed {seed}, {seconds:.0f} s, in {directory}\n")
            outcome = asyncio.run(run(directory, seed=seed, seconds=seconds, cluster=cluster, visitors=arguments.visitors, say=_say))
            totals = [total + more for total, more in zip(totals, outcome, strict=True)]
    summarise(*totals, seed)
    sys.exit(bool(totals[2]))


def _say(text):
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

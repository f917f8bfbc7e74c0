"""The short form of the harness: two seeded runs of faults, on one nats-server and on three, and no promise broken."""

import pytest

from tests.faults.run import run

MANY = 40


@pytest.mark.parametrize(("cluster", "seconds", "seed"), [(False, 45, 20261), (True, 30, 20262)], ids=["one", "cluster"])
async def test_the_promises_hold_while_things_die(tmp_path, cluster, seconds, seed):
    """Processes are killed, frozen and cut off, sockets break at any byte; P1 to P7 hold. Reproduce: the seed is above."""
    operations, faults, violations = await run(tmp_path, seed=seed, seconds=seconds, cluster=cluster)
    assert violations == [], "\n".join(map(str, violations[:5]))
    # Enough was done for that to mean something.
    assert operations > MANY * 10
    assert faults > 5

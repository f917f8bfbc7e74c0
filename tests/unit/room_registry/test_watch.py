"""How long a gateway may be silent."""

import pytest

from services.room_registry.watch import Graces, Sight, Watch
from shared.contracts.leases import GatewayLease

EDGE = "edge_" + "0" * 16
OTHER = "other_" + "0" * 16


def lease(isolation=30.0, reconnect=20.0, **fields):
    return GatewayLease(gateway=EDGE, isolation_grace=isolation, reconnect_grace=reconnect, **fields)


class Seeing:
    """A watch with a margin of 15 s, which reads take no time, unless they do."""

    def __init__(self):
        self.watch = Watch(15.0, Graces(30.0, 40.0))

    def at(self, now, revision=1, gateway=EDGE, took=0.0, lease=lease()):  # noqa: B008 -- it never changes
        return self.watch.see(gateway, Sight(revision, lease, now, now + took))


@pytest.mark.parametrize(
    ("lease", "patience"),
    [
        (lease(30.0, 20.0), 45.0),
        (lease(30.0, 60.0), 60.0),
        (lease(None, 5.0), 15.0),
        (lease(30.0, 20.0, gone=True), 20.0),
        (None, 45.0),
    ],
)
def test_a_gateway_is_lost_when_its_graces_are_over(lease, patience):
    """Its own, as its lease says them: isolation and a margin, or its browsers' reconnect grace; gone, only that."""
    seeing = Seeing()
    assert not seeing.at(100.0, lease=lease)
    assert not seeing.at(100.0 + patience - 0.1, lease=lease)
    assert seeing.at(100.0 + patience, lease=lease)
    assert seeing.at(100.0 + patience + 1.0, lease=lease)


@pytest.mark.parametrize(
    ("lease", "unknown", "silent"),
    [
        (lease(30.0), None, True),
        (lease(None), 30.0, False),
        (lease(None, gone=True), None, True),
        (None, 30.0, True),
        (None, None, False),
    ],
)
def test_a_gateway_that_never_stops_by_itself_is_lost_and_not_silent(lease, unknown, silent):
    """Unless it has said that it ended; where there is no lease, the registry's setting says it."""
    assert Watch(15.0, Graces(unknown, 40.0)).is_silent(Sight(1, lease, 0.0, 0.0)) is silent


def test_each_renewal_starts_the_clock_anew():
    """Whatever the revision is."""
    seeing = Seeing()
    for second in range(200):
        assert not seeing.at(float(second), revision=1000 - second)
    assert not seeing.at(199.0 + 44.9, revision=801)
    assert seeing.at(199.0 + 45.0, revision=801)


def test_a_lease_that_is_missing_is_a_revision_too():
    """A gateway that never wrote one, or whose lease went, is waited for as long."""
    seeing = Seeing()
    assert not seeing.at(0.0)
    assert not seeing.at(44.0, revision=0, lease=None)
    assert not seeing.at(88.0, revision=0, lease=None)
    assert seeing.at(89.0, revision=0, lease=None)


def test_a_read_that_fails_starts_the_clock_anew():
    """Of that gateway."""
    seeing = Seeing()
    for gateway in (EDGE, OTHER):
        seeing.at(0.0, gateway=gateway)
    seeing.watch.miss(EDGE)
    assert not seeing.at(45.0)
    assert seeing.at(45.0, gateway=OTHER)
    assert seeing.at(90.0)


def test_only_the_time_that_is_certain_counts():
    """From the first answer to the last question: in between the same revision was the last one."""
    seeing = Seeing()
    assert not seeing.at(0.0, took=3.0)
    assert not seeing.at(47.9, took=3.0)
    assert seeing.at(48.0)


def test_who_matters_no_more_is_forgotten():
    """And is a new one when it comes again."""
    seeing = Seeing()
    seeing.at(0.0)
    seeing.watch.keep({OTHER})
    assert not seeing.at(45.0)

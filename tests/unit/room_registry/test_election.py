from hypothesis import given
from hypothesis import strategies as st

from services.room_registry.election import Election

REPLICAS = st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), min_size=1, max_size=5, unique=True)


def elections(replicas, now=0.0):
    made = {me: Election(me, 2.0) for me in replicas}
    for me, election in made.items():
        for other in replicas:
            election.hear(other, now, leaving=False)
        assert election.others(now) == sorted(set(replicas) - {me})
    return made


@given(REPLICAS)
def test_every_partition_falls_to_exactly_one_replica(replicas):
    """When all hear all."""
    shares = [election.mine(8, 0.0) for election in elections(replicas).values()]
    assert sorted(number for share in shares for number in share) == list(range(8))


@given(REPLICAS)
def test_a_replica_that_goes_leaves_the_others_what_they_have(replicas):
    """Only its own partitions move."""
    made = elections(replicas)
    before = {me: election.mine(8, 0.0) for me, election in made.items()}
    gone = replicas[0]
    for me, election in made.items():
        election.hear(gone, 1.0, leaving=True)
        if me != gone:
            assert election.mine(8, 1.0) >= before[me]


def test_silence_for_the_length_of_the_lease_is_an_absence():
    """And a word ends it."""
    election = Election("a" * 32, 2.0)
    assert election.hear("b" * 32, 0.0, leaving=False)
    assert len(election.mine(8, 1.9)) < 8
    assert len(election.mine(8, 2.0)) == 8
    assert election.hear("b" * 32, 3.0, leaving=False)
    assert len(election.mine(8, 3.0)) < 8


def test_who_leaves_stands_for_nothing():
    """Even when nobody else is there."""
    election = Election("a" * 32, 2.0)
    election.leave()
    assert election.mine(8, 0.0) == set()

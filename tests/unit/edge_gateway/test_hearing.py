import pytest

from services.edge_gateway.hearing import DEAF_SECONDS, Hearing

GRACE = 30.0


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hearing(clock):
    return Hearing(GRACE, clock)


def listen(hearing, clock, seconds):
    for _ in range(seconds):
        clock.now += 1
        hearing.finished(clock.now)


def test_nothing_was_heard_before_the_first_round(hearing, clock):
    assert hearing.deaf
    hearing.finished(clock.now)
    assert not hearing.deaf


def test_silence_is_deafness_after_a_while(hearing, clock):
    listen(hearing, clock, 2)
    clock.now += DEAF_SECONDS - 0.1
    assert not hearing.deaf
    clock.now += 0.2
    assert hearing.deaf


def test_the_grace_counts_from_the_loss_where_the_bus_is_heard(hearing, clock):
    listen(hearing, clock, 10)
    lost_at = clock.now
    listen(hearing, clock, 20)
    assert hearing.grace_left(lost_at) == GRACE - 20


def test_the_grace_does_not_begin_while_nothing_is_heard(hearing, clock):
    """Its browser may be on another gateway, and nobody here knows."""
    listen(hearing, clock, 1)
    lost_at = clock.now
    clock.now += 3600
    assert hearing.grace_left(lost_at) == GRACE


def test_the_grace_begins_anew_when_the_bus_is_heard_again(hearing, clock):
    listen(hearing, clock, 1)
    lost_at = clock.now
    clock.now += 3600
    listen(hearing, clock, 10)
    assert hearing.grace_left(lost_at) == GRACE - 9


def test_a_short_gap_changes_nothing(hearing, clock):
    listen(hearing, clock, 1)
    lost_at = clock.now
    clock.now += DEAF_SECONDS - 2
    listen(hearing, clock, 10)
    assert hearing.grace_left(lost_at) == GRACE - 10 - (DEAF_SECONDS - 2)


def test_what_waits_for_a_round_waits_for_one_that_began_later(hearing, clock):
    """One that is on its way may have read the stream's end too early."""
    called = []
    began = clock.now
    clock.now += 1
    hearing.once_heard(lambda: called.append(clock.now))
    hearing.finished(began)
    assert called == []
    listen(hearing, clock, 2)
    assert called == [began + 2]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rates import RateLimits, network_of


def test_a_seconds_requests_may_come_at_once_and_then_wait_for_time():
    rates = RateLimits(3)
    assert [rates.take("a", 10.0) for _ in range(4)] == [True, True, True, False]
    assert not rates.take("a", 10.3)
    assert rates.take("a", 10.34)
    assert not rates.take("a", 10.34)


def test_one_key_does_not_use_up_another():
    rates = RateLimits(1)
    assert rates.take(("id", "RemoveUser"), 0)
    assert not rates.take(("id", "RemoveUser"), 0)
    assert rates.take(("id", "DismissRoom"), 0)
    assert rates.take(("other", "RemoveUser"), 0)


def test_less_than_one_a_second_is_one_now_and_then():
    rates = RateLimits(0.5)
    assert [rates.take("a", t) for t in (0, 1, 2)] == [True, False, True]


@given(rate=st.floats(1, 50), steps=st.lists(st.floats(0, 1), max_size=300))
def test_never_more_than_the_burst_and_the_rate_allow(rate, steps):
    rates, now, allowed = RateLimits(rate), 0.0, 0
    for step in steps:
        now += step
        allowed += rates.take("a", now)
    assert allowed <= rate + now * rate + 0.01


def test_a_burst_may_be_larger_than_a_seconds_tokens():
    rates = RateLimits(1, burst=3)
    assert [rates.take("a", 0) for _ in range(4)] == [True, True, True, False]
    assert [rates.take("a", 1.5) for _ in range(2)] == [True, False]


def test_asking_what_is_left_takes_nothing():
    rates = RateLimits(1)
    assert rates.left("a", 0)
    assert rates.left("a", 0)
    assert rates.take("a", 0)
    assert not rates.left("a", 0.5)
    assert rates.left("a", 1)


def test_no_more_buckets_are_kept_than_allowed_and_the_oldest_goes_first():
    rates = RateLimits(1, keys=2)
    assert rates.take("a", 0)
    assert rates.take("b", 0)
    assert not rates.take("a", 0)
    assert rates.take("c", 0)
    assert not rates.take("a", 0)
    assert rates.take("b", 0)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a proxy's word", "a proxy's word"),
    ],
)
def test_an_address_is_counted_by_whom_it_belongs_to(host, name):
    """Whoever has an IPv6 address has a /64."""
    assert network_of(host) == name

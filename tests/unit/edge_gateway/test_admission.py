import pytest

from services.edge_gateway.admission import TOO_MANY_FAILURES, Admission
from services.edge_gateway.protocol import JoinRequest, RequestRefusedError
from shared.auth.apps import App, Apps
from shared.auth.usersig import sign

APP = App(1400000001, "the-key-that-signs")
NOW = 1_800_000_000


class Door:
    """An admission, and its two clocks."""

    def __init__(self, failures_per_minute=2):
        self.admission = Admission(Apps([APP]), failures_per_minute, joins_per_second=2)
        self.unix_time = float(NOW)
        self.monotonic = 100.0

    def knock(self, sig=None, address="192.0.2.1"):
        sig = sign(APP, "ann", NOW, 600) if sig is None else sig
        request = JoinRequest(type="join", id=1, protocol=1, app=APP.sdk_app_id, user="ann", sig=sig, room=1, mode="rtc")
        self.admission.check_join(request, address, unix_time=self.unix_time, monotonic=self.monotonic, ready=True)

    def refusal(self, **knock):
        with pytest.raises(RequestRefusedError) as refused:
            self.knock(**knock)
        return refused.value


@pytest.fixture
def door():
    return Door()


def test_a_clock_that_is_set_back_locks_nobody_out(door):
    """The limit on failures goes by a clock that nobody sets; only UserSigs go by the time of day."""
    for _ in range(2):
        door.refusal(sig="x")
    assert door.refusal().extra == TOO_MANY_FAILURES
    door.unix_time -= 300
    door.monotonic += 60
    door.knock()


def test_usersigs_expire_by_the_time_of_day(door):
    door.unix_time += 601
    assert door.refusal().extra == 70001


def test_who_comes_too_often_has_to_wait_though_every_join_is_right(door):
    """A join costs the registry, too. Another address is not held up."""
    for _ in range(20):
        door.knock()
    refused = door.refusal()
    assert (refused.code, refused.retry) == ("unavailable", True)
    door.knock(address="192.0.2.2")
    door.monotonic += 1
    for _ in range(2):
        door.knock()
    door.refusal()


def test_a_network_of_ipv6_is_one_stranger(door):
    """A subscriber has a whole /64, and an address of it for each try."""
    for host in range(1, 3):
        door.refusal(sig="x", address=f"2001:db8:0:1::{host}")
    assert door.refusal(address="2001:db8:0:1:ffff::9").extra == TOO_MANY_FAILURES
    door.knock(address="2001:db8:0:2::1")

"""Which TURN servers a client is told of."""

import pytest

from services.edge_gateway.relays import Relays
from shared.auth import turn
from shared.contracts.errors import ConfigurationError

URLS = ("turn:turn.example:3478?transport=udp", "turns:turn.example:443?transport=tcp", "turn:192.0.2.1", "turn:[2001:db8::1]:3478")


def test_servers_come_with_a_credential_of_the_session():
    """Good from now on for as long as it says."""
    username, password = turn.make("secret", "s1", 1300)
    assert Relays(URLS, "secret", 300, lambda: 1000.9).describe("s1") == {
        "ice_servers": [{"urls": list(URLS), "username": username, "credential": password}],
        "ice_seconds": 300,
    }


def test_without_servers_there_are_none():
    """And no credential for anybody."""
    assert Relays((), "", 300, lambda: 1000.0).describe("s1") == {}


@pytest.mark.parametrize(
    ("urls", "secret"),
    [
        (URLS, ""),
        ((), "secret"),
        (("stun:turn.example",), "secret"),
        (("turn:turn.example:3478?transport=sctp",), "secret"),
        (("turn://turn.example",), "secret"),
        (("turn:user@turn.example",), "secret"),
        (("turn:",), "secret"),
    ],
)
def test_contradictions_are_named(urls, secret):
    """Before anything starts."""
    with pytest.raises(ConfigurationError, match="turn_urls"):
        Relays(urls, secret, 300, lambda: 0.0)

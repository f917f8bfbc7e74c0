"""What an operator may set."""

import pytest

from services.edge_gateway.media.settings import MediaSettings
from shared.contracts.errors import ConfigurationError

ANYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here


def test_without_advertise_the_host_is_the_candidate():
    """One interface, one address."""
    assert MediaSettings(host="192.0.2.1", port=0).candidates == ("192.0.2.1",)
    assert MediaSettings(host=ANYWHERE, port=0, advertise=("192.0.2.1", "127.0.0.1")).candidates == ("192.0.2.1", "127.0.0.1")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"host": ANYWHERE}, "advertise must name"),
        ({"host": "::"}, "advertise must name"),
        ({"host": "localhost"}, "'localhost' is not an IP address"),
        ({"host": "192.0.2.1", "advertise": ("gateway.example",)}, "'gateway.example' is not an IP address"),
        ({"host": "192.0.2.1", "advertise": ("2001:db8::1",)}, "another IP version"),
        ({"host": "192.0.2.1", "codecs": ("opus", "H265")}, "H265 is not one of opus, VP8"),
        ({"host": "192.0.2.1", "max_subscriptions": 64}, "smaller than max_media_lines"),
    ],
)
def test_contradictions_are_named(settings, reason):
    """Before anything starts."""
    with pytest.raises(ConfigurationError, match=reason):
        MediaSettings(port=0, **settings)

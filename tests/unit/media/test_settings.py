"""What an operator may set."""

import pytest

from services.edge_gateway.media.settings import MediaSettings
from shared.contracts.errors import ConfigurationError

ANYWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound here


def test_hosts_are_one_or_one_of_each_ip_version():
    """Both versions at once, on the same port."""
    assert MediaSettings(host="192.0.2.1", port=0).hosts == ("192.0.2.1",)
    assert MediaSettings(host="192.0.2.1, 2001:db8::1", port=0).hosts == ("192.0.2.1", "2001:db8::1")
    both = MediaSettings(host=f"{ANYWHERE},::", port=0, advertise=("192.0.2.1", "2001:db8::1"))
    assert both.advertise == ("192.0.2.1", "2001:db8::1")
    assert MediaSettings(host=f"{ANYWHERE},::", port=0, advertise=("auto",), stun_server="[2001:db8::2]:3478").hosts == (ANYWHERE, "::")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"host": ANYWHERE}, "advertise must name"),
        ({"host": "::"}, "advertise must name"),
        ({"host": "localhost"}, "'localhost' is not an IP address"),
        ({"host": "192.0.2.1", "advertise": ("gateway.example",)}, "'gateway.example' is not an IP address"),
        ({"host": "192.0.2.1", "advertise": ("2001:db8::1",)}, "another IP version"),
        ({"host": ""}, "must be one address"),
        ({"host": "192.0.2.1,192.0.2.2"}, "one of each IP version"),
        ({"host": f"{ANYWHERE},::", "advertise": ("192.0.2.1",)}, "host :: is every interface"),
        ({"host": "192.0.2.1", "advertise": ("auto",)}, "needs a STUN server"),
        ({"host": "192.0.2.1", "stun_server": "stun.example"}, "is not host:port"),
        ({"host": "192.0.2.1", "stun_server": "stun.example:65536"}, "is not host:port"),
        ({"host": "192.0.2.1", "tcp_connections": -1}, "tcp_connections"),
        ({"host": "192.0.2.1", "tcp_connections_per_address": 0}, "tcp_connections"),
        ({"host": "192.0.2.1", "codecs": ("opus", "H265")}, "H265 is not one of opus, VP8"),
        ({"host": "192.0.2.1", "max_subscriptions": 64}, "smaller than max_media_lines"),
        ({"host": "192.0.2.1", "max_worker_tracks": 0}, "at least 1"),
        ({"host": "192.0.2.1", "video_bitrate": 11_000_000}, "max_bitrate 20000000 must be at least twice video_bitrate 11000000"),
    ],
)
def test_contradictions_are_named(settings, reason):
    """Before anything starts."""
    with pytest.raises(ConfigurationError, match=reason):
        MediaSettings(port=0, **settings)

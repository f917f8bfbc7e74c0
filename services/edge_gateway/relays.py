"""The TURN servers that clients are told of, each with a credential of its own that lasts for minutes."""

import re
from collections.abc import Callable
from typing import Any

from shared.auth import turn
from shared.contracts.errors import ConfigurationError

_URL = re.compile(r"turns?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?(\?transport=(udp|tcp))?")
"""RFC 7065, 3.1."""


class Relays:
    """What clients without a way of their own relay through.

    Args:
        urls: of the servers (RFC 7065), the best first; none where there are none.
        secret: that they share with us.
        seconds: how long a credential is good for.
        now: Unix time in seconds.

    Raises:
        ConfigurationError: the values contradict each other.
    """

    def __init__(self, urls: tuple[str, ...], secret: str, seconds: int, now: Callable[[], float]) -> None:
        for url in urls:
            if _URL.fullmatch(url) is None:
                raise ConfigurationError(f"turn_urls: {url!r} is not like turn:turn.example:3478?transport=udp")
        if bool(urls) != bool(secret):
            raise ConfigurationError("turn_urls and turn_secret are both set, or neither")
        self._urls = urls
        self._secret = secret
        self._seconds = seconds
        self._now = now

    def describe(self, session: str) -> dict[str, Any]:
        """Build what a session's client is told: servers as RTCPeerConnection takes them, and for how many seconds they are good.

        Empty where there are none.
        """
        if not self._urls:
            return {}
        username, password = turn.make(self._secret, session, int(self._now()) + self._seconds)
        return {
            "ice_servers": [{"urls": list(self._urls), "username": username, "credential": password}],
            "ice_seconds": self._seconds,
        }

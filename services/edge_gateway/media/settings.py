"""What an operator sets about media."""

import ipaddress
from dataclasses import dataclass

from services.edge_gateway.media.codecs import CODECS
from shared.contracts.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSettings:
    """Where media is received, and how much of it.

    Raises:
        ConfigurationError: the values contradict each other; the text says which.
    """

    host: str
    """The address to listen on; ``0.0.0.0`` is every IPv4 interface."""
    port: int
    """The UDP port; 0 takes any free one."""
    workers: int = 1
    """Processes that forward. Each has a port of its own: ``port`` and those above it."""
    advertise: tuple[str, ...] = ()
    """The addresses that browsers are told, best first. None: ``host``. A browser on the same machine needs the LAN address,
    not 127.0.0.1 alone: Firefox never uses loopback."""
    codecs: tuple[str, ...] = ("opus", "VP8")
    """What may be published, in the order of preference."""
    max_subscriptions: int = 32
    """Tracks that one session may receive at a time."""
    max_media_lines: int = 64
    """m-lines of one subscribing peer connection, dead ones included; an answer with more would not fit into 64 KiB."""
    handshake_timeout: float = 15.0
    """Seconds for DTLS, from the first connectivity check."""
    video_bitrate: int = 2_500_000
    """Bits per second that a publisher is told to stay below, per video track."""

    def __post_init__(self) -> None:
        version = self._version("host", self.host)
        if ipaddress.ip_address(self.host).is_unspecified and not self.advertise:
            raise ConfigurationError(
                f"media host {self.host} is every interface: advertise must name the addresses that browsers can reach"
            )
        for address in self.advertise:
            if self._version("advertise", address) != version:
                raise ConfigurationError(f"media advertise {address} is of another IP version than host {self.host}")
        for name in self.codecs:
            if name not in CODECS:
                raise ConfigurationError(f"media codec {name} is not one of {', '.join(CODECS)}")
        if self.workers < 1 or self.port + self.workers - 1 > 65535:
            raise ConfigurationError(f"media workers: {self.workers} do not fit on port {self.port} and those above it")
        if not 1 <= self.max_subscriptions < self.max_media_lines:
            raise ConfigurationError("media max_subscriptions must be at least 1 and smaller than max_media_lines")

    @property
    def candidates(self) -> tuple[str, ...]:
        """The addresses of the host candidates, best first."""
        return self.advertise or (self.host,)

    @staticmethod
    def _version(name: str, address: str) -> int:
        try:
            return ipaddress.ip_address(address).version
        except ValueError as error:
            raise ConfigurationError(f"media {name} {address!r} is not an IP address") from error

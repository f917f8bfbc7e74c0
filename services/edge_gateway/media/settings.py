"""What an operator sets about media."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from services.edge_gateway.media.codecs import CODECS
from shared.contracts.errors import ConfigurationError

AUTO = "auto"
_LARGEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSettings:
    """Where media is received, and how much of it.

    Raises:
        ConfigurationError: the values contradict each other; the text says which.
    """

    host: str
    """The address to listen on; ``0.0.0.0`` is every IPv4 interface. Or two, separated by a comma: one of each IP version."""
    port: int
    """The one port, of UDP and TCP; 0 takes any free one."""
    workers: int = 1
    """Processes that forward. Each has a port of its own: ``port`` and those above it."""
    advertise: tuple[str, ...] = ()
    """The addresses that browsers are told, best first. None: ``host``. A browser on the same machine needs the LAN address,
    not 127.0.0.1 alone: Firefox never uses loopback. ``auto`` stands for what ``stun_server`` sees us as."""
    stun_server: str = ""
    """``host:port`` of the server that is asked at the start, for ``auto``."""
    tcp_connections: int = 500
    """Connections at a time, for clients whose UDP is blocked; 0 takes none, and offers none."""
    tcp_connections_per_address: int = 100
    """Of them, from one IPv4 address or one /64 of IPv6: a whole office may be behind it, with two a client."""
    engine: Literal["auto", "python", "native"] = "auto"
    """What forwards: ``native`` needs a C compiler at install; ``auto`` takes it where it is there."""
    codecs: tuple[str, ...] = ("opus", "VP8")
    """What may be published, in the order of preference."""
    max_subscriptions: int = 32
    """Tracks that one session may receive at a time."""
    max_worker_connections: int = 10_000
    """Peer connections of one worker at a time: a session has one for each stream that it publishes, and one to receive."""
    max_worker_tracks: int = 2_000
    """Published tracks of one worker at a time: for repairs a video may keep 2 MB."""
    max_worker_subscriptions: int = 20_000
    """Tracks that one worker sends to somebody, each as often as it does."""
    max_packet_rate: int = 4_000
    """Packets a second that one peer connection may send us, and as many at once; more are dropped unread."""
    max_bitrate: int = 20_000_000
    """Bits a second, likewise."""
    max_media_lines: int = 64
    """m-lines of one subscribing peer connection, dead ones included; an answer with more would not fit into 64 KiB."""
    handshake_timeout: float = 15.0
    """Seconds for DTLS, from the first connectivity check."""
    video_bitrate: int = 2_500_000
    """Bits per second that a publisher is told to stay below, per video track."""

    def __post_init__(self) -> None:
        versions = [self._version("host", host) for host in self.hosts]
        if not versions or len(set(versions)) < len(versions):
            raise ConfigurationError(f"media host {self.host!r} must be one address, or one of each IP version")
        self._check_advertise(versions)
        for host in self.hosts:
            if ipaddress.ip_address(host).is_unspecified and not self._advertises(self._version("host", host)):
                raise ConfigurationError(f"media host {host} is every interface: advertise must name the addresses that browsers can reach")
        if self.tcp_connections < 0 or self.tcp_connections_per_address < 1:
            raise ConfigurationError("media tcp_connections must be at least 0, and tcp_connections_per_address at least 1")
        for name in self.codecs:
            if name not in CODECS:
                raise ConfigurationError(f"media codec {name} is not one of {', '.join(CODECS)}")
        if self.workers < 1 or self.port + self.workers - 1 > 65535:
            raise ConfigurationError(f"media workers: {self.workers} do not fit on port {self.port} and those above it")
        if not 1 <= self.max_subscriptions < self.max_media_lines:
            raise ConfigurationError("media max_subscriptions must be at least 1 and smaller than max_media_lines")
        if min(self.max_worker_connections, self.max_worker_tracks, self.max_worker_subscriptions, self.max_packet_rate) < 1:
            raise ConfigurationError("media max_worker_connections, _tracks, _subscriptions and max_packet_rate must be at least 1")
        if self.max_bitrate < 2 * self.video_bitrate:
            raise ConfigurationError(f"media max_bitrate {self.max_bitrate} must be at least twice video_bitrate {self.video_bitrate}")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses to listen on."""
        return split(self.host)

    def _check_advertise(self, versions: list[int]) -> None:
        for address in self.advertise:
            if address != AUTO and self._version("advertise", address) not in versions:
                raise ConfigurationError(f"media advertise {address} is of another IP version than host {self.host}")
        if AUTO in self.advertise and not self.stun_server:
            raise ConfigurationError("media advertise auto needs a STUN server to ask: set stun_server to its host:port")
        if self.stun_server and not _is_server(self.stun_server):
            raise ConfigurationError(f"media stun_server {self.stun_server!r} is not host:port")

    def _advertises(self, version: int) -> bool:
        return any(address == AUTO or self._version("advertise", address) == version for address in self.advertise)

    @staticmethod
    def _version(name: str, address: str) -> int:
        try:
            return ipaddress.ip_address(address).version
        except ValueError as error:
            raise ConfigurationError(f"media {name} {address!r} is not an IP address") from error


def split(listed: str) -> tuple[str, ...]:
    """Read a list as operators write it: separated by commas."""
    return tuple(each.strip() for each in listed.split(",") if each.strip())


def _is_server(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 1 <= int(port) <= _LARGEST_PORT

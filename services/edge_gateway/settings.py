"""What a gateway is told."""

import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from services.edge_gateway.media.settings import MediaSettings, split
from services.edge_gateway.relays import Relays
from shared.auth.settings import AppSettings
from shared.settings import Settings


def _own_name() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:63] or "gateway"


class GatewaySettings(AppSettings, Settings):
    """Settings of one gateway process."""

    port: int = Field(default=8080, ge=0, le=65535)
    gateway_name: str = Field(default_factory=_own_name, pattern=r"^[A-Za-z0-9-]{1,63}$")
    """For people who read the log: each boot adds random digits to it."""
    media_host: str = "127.0.0.1"
    """One address, or one of each IP version, separated by a comma."""
    media_port: int = Field(default=8082, ge=0, le=65535)
    media_workers: int = Field(default=1, ge=1, le=64)
    """Processes that forward media, one for a core; each has a port of its own: ``media_port`` and those above it."""
    media_advertise: str = ""
    """Addresses that browsers are told, separated by commas; nothing is ``media_host``. ``auto`` asks ``media_stun_server``."""
    media_stun_server: str = ""
    """``host:port``."""
    media_tcp_connections: int = Field(default=500, ge=0)
    """At a time, for browsers whose UDP is blocked; 0 takes none."""
    media_tcp_connections_per_address: int = Field(default=100, ge=1)
    media_engine: Literal["auto", "python", "native"] = "auto"
    """What forwards media: ``native`` is faster and needs a C compiler at install; ``auto`` takes it where it is there."""
    turn_urls: str = ""
    """TURN servers that browsers are told of, as RFC 7065 writes them, separated by commas."""
    turn_secret: SecretStr = SecretStr("")
    """That they share with the gateways: credentials are made of it."""
    turn_seconds: int = Field(default=300, ge=60, le=86_400)
    """How long a credential is good for. A removed user's is not taken back."""
    media_codecs: str = "opus,VP8"
    """What may be published, in the order of preference, separated by commas: opus, VP8, H264, VP9, AV1."""
    media_video_bitrate: int = Field(default=2_500_000, ge=50_000, le=100_000_000)
    """Bits per second that a publisher is told to stay below, per video."""
    media_max_bitrate: int = Field(default=20_000_000, ge=100_000)
    """Bits per second that one peer connection may send, and as many at once; more is dropped unread. At least twice
    ``media_video_bitrate``."""
    media_max_packet_rate: int = Field(default=4_000, ge=100)
    """Packets per second, likewise."""
    media_max_subscriptions: int = Field(default=32, ge=1, le=63)
    """Tracks that one session may receive at a time."""
    media_max_streams_per_room: int = Field(default=1_000, ge=1)
    """Published at a time; a stream has a track of sound, one of picture, or both."""
    media_max_worker_connections: int = Field(default=10_000, ge=1)
    """Peer connections of one media worker: one for each stream that is published, and one for each session that receives."""
    media_max_worker_tracks: int = Field(default=2_000, ge=1)
    """Published tracks of one media worker; for repairs a video may keep 2 MB."""
    media_max_worker_subscriptions: int = Field(default=20_000, ge=1)
    """Tracks that one media worker sends to somebody, each as often as it does."""
    allowed_origins: str = "*"
    """Origins whose pages may open the signalling socket, separated by commas. A UserSig is the authority, not a cookie."""
    trusted_proxies: str = ""
    """Addresses of proxies whose X-Forwarded-For is believed, separated by commas."""
    reconnect_grace: float = Field(default=30.0, ge=0, le=600)
    """Seconds that a session outlives a socket that was lost without a close frame."""
    isolation_grace: Annotated[float, Field(gt=0)] | Literal["never"] = 30.0
    """Seconds without the bus after which media stops: longer than any election of its leaders. ``never``: a gateway that is
    cut off goes on, and so does the media of who was removed meanwhile."""
    drain_seconds: float = Field(default=10.0, ge=0)
    """How long a graceful end waits for browsers to go on elsewhere."""
    join_timeout: float = Field(default=10.0, gt=0)
    """Seconds that a new socket has for its join."""
    failed_joins_per_minute: int = Field(default=20, ge=1)
    """Per address; beyond it joins are refused with 70050."""
    joins_per_second: float = Field(default=20.0, gt=0)
    """Per address, after a burst of ten seconds' worth; beyond it joins are refused for the moment."""
    sdk_dir: Path = Path("sdk/web/dist")
    """Where the built Web SDK lies."""
    demo: bool = False
    """Serve the demo page, and sign UserSigs for whoever asks on this machine. Never on a reachable address."""

    def media(self) -> MediaSettings:
        """Return what the media engine is told.

        Raises:
            ConfigurationError: the values contradict each other.
        """
        return MediaSettings(
            host=self.media_host,
            port=self.media_port,
            workers=self.media_workers,
            advertise=split(self.media_advertise),
            stun_server=self.media_stun_server,
            tcp_connections=self.media_tcp_connections,
            tcp_connections_per_address=self.media_tcp_connections_per_address,
            engine=self.media_engine,
            codecs=split(self.media_codecs),
            video_bitrate=self.media_video_bitrate,
            max_bitrate=self.media_max_bitrate,
            max_packet_rate=self.media_max_packet_rate,
            max_subscriptions=self.media_max_subscriptions,
            max_worker_connections=self.media_max_worker_connections,
            max_worker_tracks=self.media_max_worker_tracks,
            max_worker_subscriptions=self.media_max_worker_subscriptions,
        )

    def relays(self, now: Callable[[], float]) -> Relays:
        """Return what clients are told of TURN servers; ``now`` is Unix time in seconds.

        Raises:
            ConfigurationError: the values contradict each other.
        """
        return Relays(split(self.turn_urls), self.turn_secret.get_secret_value(), self.turn_seconds, now)

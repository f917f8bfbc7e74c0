"""What the gateway's signalling knows of media.

What must be answered is a coroutine function: an engine in a process of its own has to wait for its answer. The one that runs
there never suspends in them.

MediaRefusedError          the client: the reply's error code and message
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from shared.contracts.ids import RoomKey

if TYPE_CHECKING:
    from services.edge_gateway.media.measures import Measures

Kind = Literal["audio", "video"]
KINDS: Sequence[Kind] = ("audio", "video")
Connection = Literal["publish", "subscribe"]
"""Which of a session's two peer connections."""
RefusalCode = Literal["unsupported_media", "invalid_state", "unavailable", "media_limit"]
Limit = Literal["session_subscriptions", "room_streams", "worker_connections", "worker_tracks", "worker_subscriptions"]
"""What there may be so much of."""


class MediaRefusedError(Exception):
    """What the client asked for cannot be done; nothing was changed. With ``unavailable``, it may be done a moment later."""

    def __init__(self, code: RefusalCode, message: str, limit: Limit | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.limit = limit
        """With ``media_limit``, which."""


def check_limit(limit: Limit, wanted: int, allowed: int) -> None:
    """Allow so much of something, and no more.

    Raises:
        MediaRefusedError: ``media_limit``.
    """
    if wanted > allowed:
        raise MediaRefusedError("media_limit", f"{limit.replace('_', ' ')}: at most {allowed}", limit)


@dataclass(frozen=True, slots=True)
class Track:
    """One audio or video track that a session publishes; its id is 32 random hexadecimal digits."""

    id: str
    kind: Kind
    codec: str
    """By its name in SDP: ``VP8``."""
    layered: bool = False
    """There is a small picture beside the big one."""


@dataclass(frozen=True, slots=True)
class Published:
    """The answer to a publication."""

    sdp: str
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer for the whole subscribing peer connection of a session; numbers rise from 1."""

    session: str
    number: int
    sdp: str
    mids: Mapping[str, str]
    """The m-lines that carry something now: mid to track id."""


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """A peer connection did not come about, for DTLS failed or took too long; or its client is silent, or the process that had it is gone.

    Nothing will ever flow on it. What an engine still has of it goes with ``unpublish`` or ``unsubscribe``, and another may take
    its place.
    """

    session: str
    connection: Connection
    reason: str
    """For the log."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Sessions without media, for good."""

    at: float
    """Unix time in seconds, taken after the last send."""
    told: frozenset[str] = frozenset()
    """Whose clients are told over a data channel."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a client has answered to what it was told over a data channel: anything at all, of 64 bytes at most."""

    session: str
    text: str


class MediaEngine(Protocol):
    """Forwards media between sessions. A session is an opaque string, used once."""

    async def publish(self, session: str, offer: str) -> Published:
        """Take a session's tracks in.

        Raises:
            MediaRefusedError: ``invalid_state``, it publishes already; ``unsupported_media``, the offer cannot be served;
                ``media_limit``, there is no room for more.
        """
        ...

    async def unpublish(self, session: str) -> None:
        """End a session's publication, if it has one; its subscribers get new offers."""
        ...

    async def restart_publication(self, session: str, offer: str) -> str:
        """Have the publishing client look for a new way here, over the peer connection that there is (an ICE restart).

        Args:
            session: whose it is.
            offer: what it offered before, with other ICE credentials.

        Returns:
            The answer's SDP.

        Raises:
            MediaRefusedError: ``invalid_state``, it publishes nothing; ``unsupported_media``, it offers something else.
        """
        ...

    async def mute(self, session: str, kinds: frozenset[Kind]) -> None:
        """Forward these kinds of what a session publishes to nobody, and others again; harmless where it publishes nothing."""
        ...

    async def subscribe(self, session: str, tracks: frozenset[str], small: frozenset[str] = frozenset()) -> None:
        """Say everything that a session wants to receive from now on; ids that name no track are ignored.

        Of ``small`` tracks the small picture is enough, where there is one. Who has a short line gets that of all.

        What is not wanted any more stops at once. Offers follow through the engine's callback, never from inside this
        call, at most one open at a time.

        Raises:
            MediaRefusedError: ``media_limit``, that is more than one session may receive, or than there is room for.
        """
        ...

    async def restart_subscription(self, session: str) -> None:
        """Have the subscribing client look for a new way here (an ICE restart): the next offer says so, and follows soon.

        Raises:
            MediaRefusedError: ``invalid_state``, it has no subscribing peer connection.
        """
        ...

    async def unsubscribe(self, session: str) -> None:
        """End a session's subscribing peer connection, if it has one. The next ``subscribe`` makes another, with offers from 1."""
        ...

    async def answer(self, session: str, number: int, sdp: str) -> None:
        """Take the client's answer to the open offer.

        Raises:
            MediaRefusedError: ``invalid_state``, that offer is not open; ``unsupported_media``, the answer cannot be served.
                The offer stays open.
        """
        ...

    async def stop(self, *sessions: str, notice: str | None = None) -> Stopped:
        """End all media of these sessions, in both directions; harmless where there is none.

        After it returns no RTP or RTCP packet to or from them leaves, ever. Others lose their tracks and get new
        offers. The caller uses none of them again, but may stop it again.

        Args:
            sessions: whose.
            notice: what their clients are to be told then, over the data channels that are open; a channel lives on for that, until
                its client has said something (:class:`Said`, by the engine's callback), or for 2 s.
        """
        ...


class MediaPlane(Protocol):
    """All media of a gateway. Sessions of one room have one engine, which alone can forward between them."""

    def engine_of(self, room: RoomKey) -> MediaEngine:
        """Return the engine of a room, the same one each time."""
        ...

    def allow_until(self, deadline: float | None) -> None:
        """Forward media until that monotonic time and not after it; None is for ever. Before the first call nothing is forwarded.

        Connections come about and live all the same.
        """
        ...

    def measures(self) -> "Measures":
        """Say what was measured so far. What is counted never falls."""
        ...

    def missing(self) -> list[str]:
        """Say why no media can begin at the moment."""
        ...

    async def close(self) -> None:
        """End everything and free the ports."""
        ...

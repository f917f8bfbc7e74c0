"""What one client was told of its room, and what it is to be told next. Pure.

The client hears of peers in the order of the room's facts, of a stream after its peer, and of a stream's end before its
peer's. It never hears of a fact that its roster already held.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.edge_gateway.media.interface import Offer
from services.edge_gateway.protocol import ErrorCode, RequestRefusedError
from services.edge_gateway.stream import Stream
from shared.contracts.commands import Role
from shared.contracts.facts import Joined, Left, RoleSwitched, RoomFact
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import JoinReply, ResumeReply

Told = dict[str, Any]


class Wanted(NamedTuple):
    """What a client wants of one stream."""

    kinds: frozenset[str] = frozenset()
    small: bool = False
    """The small picture, where there is one."""


@dataclass(frozen=True)
class Choice:
    """What a client wants of every stream, and the tracks that this comes to."""

    wanted: Mapping[str, Wanted]
    tracks: frozenset[str]
    small: frozenset[str]
    """Those of them of which the small picture is wanted."""


class RoomView:
    """The room as a client sees it, from its admission on."""

    def __init__(self, reply: JoinReply | ResumeReply, published: Iterable[Stream], wanted: Mapping[str, Wanted]) -> None:
        self._incarnation = reply.incarnation
        self._seq = reply.seq
        self._peers = {peer.session: peer.user for peer in reply.roster}
        self._streams = self._visible(published)
        # Streams that have gone meanwhile are not wanted any more.
        self._wanted = {stream: each for stream, each in wanted.items() if stream in self._streams}

    def describe(self) -> Told:
        """Build what the client is told when it is admitted."""
        return {
            "peers": [{"session": session, "user": user} for session, user in self._peers.items()],
            "streams": [stream.describe() for stream in self._streams.values()],
        }

    def is_news(self, fact: RoomFact) -> bool:
        """Say whether a fact is of this life of the room, and later than all that is known."""
        return fact.incarnation == self._incarnation and fact.seq > self._seq

    def advance(self, fact: RoomFact) -> None:
        """Take note of a fact that the client hears nothing of."""
        self._seq = fact.seq

    def joined(self, fact: Joined, published: Iterable[Stream]) -> list[Told]:
        """Somebody came in. Audience is announced to nobody."""
        self._seq = fact.seq
        return self._come(fact.session, fact.user, published) if fact.role is Role.ANCHOR else []

    def role_switched(self, fact: RoleSwitched, published: Iterable[Stream]) -> list[Told]:
        """Somebody else came into sight, or out of it."""
        self._seq = fact.seq
        if fact.role is Role.ANCHOR:
            return self._come(fact.session, fact.user, published)
        return self._go(fact.session, fact.user, LeaveReason.LEFT)

    def left(self, fact: Left) -> list[Told]:
        """Others left."""
        self._seq = fact.seq
        return [message for end in fact.sessions for message in self._go(end.session, end.user, fact.reason)]

    def streams_changed(self, published: Iterable[Stream]) -> list[Told]:
        """Compare what is published now with what the client knows."""
        visible = self._visible(published)
        told = [self._removed(stream) for stream in list(self._streams.values()) if stream.id not in visible]
        told += [{"type": "stream_added", **stream.describe()} for stream in visible.values() if stream.id not in self._streams]
        told += [self._muted(stream) for stream in visible.values() if self._streams.get(stream.id, stream).muted != stream.muted]
        self._streams = visible
        return told

    def want(self, stream: str, wanted: Wanted) -> Choice:
        """Work out what the client would receive if it wanted so much of a stream.

        Raises:
            RequestRefusedError: it knows no such stream.
        """
        if stream not in self._streams:
            raise RequestRefusedError(ErrorCode.UNKNOWN_STREAM, "there is no such stream in the room")
        choices = self._wanted | {stream: wanted}
        known = [(self._streams[name], chosen) for name, chosen in choices.items() if name in self._streams]
        tracks = {track: chosen for each, chosen in known for kind, track in each.tracks.items() if kind in chosen.kinds}
        return Choice(choices, frozenset(tracks), frozenset(track for track, chosen in tracks.items() if chosen.small))

    def accept(self, choice: Choice) -> None:
        """Remember a choice that the media engine has taken."""
        self._wanted = dict(choice.wanted)

    def want_nothing(self) -> None:
        """Forget what the client wants: it will say so anew."""
        self._wanted = {}

    def offer(self, offer: Offer) -> Told:
        """Name the m-lines of an offer by stream and kind."""
        owners = {track: (stream.id, kind) for stream in self._streams.values() for kind, track in stream.tracks.items()}
        named = [(mid, owners[track]) for mid, track in offer.mids.items() if track in owners]
        tracks = [{"mid": mid, "stream": stream, "kind": kind} for mid, (stream, kind) in named]
        return {"type": "offer", "number": offer.number, "sdp": offer.sdp, "tracks": tracks}

    def _come(self, session: str, user: str, published: Iterable[Stream]) -> list[Told]:
        self._peers[session] = user
        return [{"type": "peer_joined", "session": session, "user": user}, *self.streams_changed(published)]

    def _go(self, session: str, user: str, reason: LeaveReason) -> list[Told]:
        if self._peers.pop(session, None) is None:
            return []
        removed = [self._removed(stream) for stream in list(self._streams.values()) if stream.session == session]
        return [*removed, {"type": "peer_left", "session": session, "user": user, "reason": reason}]

    def _visible(self, published: Iterable[Stream]) -> dict[str, Stream]:
        return {stream.id: stream for stream in published if stream.session in self._peers}

    def _muted(self, stream: Stream) -> Told:
        whose = {"stream": stream.id, "session": stream.session, "user": stream.user}
        return {"type": "stream_muted", **whose, "muted": sorted(stream.muted)}

    def _removed(self, stream: Stream) -> Told:
        del self._streams[stream.id]
        self._wanted.pop(stream.id, None)
        return {"type": "stream_removed", "stream": stream.id, "session": stream.session, "user": stream.user}

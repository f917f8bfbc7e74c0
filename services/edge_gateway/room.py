"""A room as one gateway sees it: its own sessions, and what they publish."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from services.edge_gateway.items import Item, StreamsChanged
from shared.contracts.ids import RoomKey


@dataclass(frozen=True)
class Stream:
    """What a session publishes."""

    id: str
    session: str
    user: str
    tracks: dict[str, str]
    """Kind (``audio``, ``video``) to the track's id in the media engine."""

    def describe(self) -> dict[str, object]:
        """Build what the protocol says of a stream."""
        return {
            "stream": self.id,
            "session": self.session,
            "user": self.user,
            "kind": "main",
            "audio": "audio" in self.tracks,
            "video": "video" in self.tracks,
        }


class Member(Protocol):
    """A session, as its room needs it."""

    id: str
    room: "LocalRoom"
    task: asyncio.Task[None]

    def post(self, item: Item) -> None:
        """Put something into the session's inbox."""
        ...


@dataclass
class LocalRoom:
    """The sessions of this gateway in one room."""

    key: RoomKey
    sessions: dict[str, Member] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)

    def add_stream(self, stream: Stream) -> None:
        """Publish a stream to the others."""
        self.streams[stream.id] = stream
        self._announce()

    def remove_streams(self, session: str) -> None:
        """Take back what a session publishes."""
        gone = [stream for stream in self.streams.values() if stream.session == session]
        for stream in gone:
            del self.streams[stream.id]
        if gone:
            self._announce()

    def _announce(self) -> None:
        for session in self.sessions.values():
            session.post(StreamsChanged())


class LocalRooms:
    """All rooms that have a session here."""

    def __init__(self) -> None:
        self._rooms: dict[RoomKey, LocalRoom] = {}
        self.sessions: dict[str, Member] = {}

    def enter(self, key: RoomKey, session: Member) -> LocalRoom:
        """Register a session, before its join is sent: an event may be faster than the reply."""
        room = self._rooms.setdefault(key, LocalRoom(key))
        room.sessions[session.id] = session
        self.sessions[session.id] = session
        return room

    def exit(self, session: Member) -> None:
        """Let go of a session and of what it publishes. Harmless twice."""
        room = session.room
        if self.sessions.pop(session.id, None) is None:
            return
        del room.sessions[session.id]
        room.remove_streams(session.id)
        if not room.sessions:
            del self._rooms[room.key]

    def in_room(self, key: RoomKey) -> Iterator[Member]:
        """Return the sessions of a room, as they are now."""
        room = self._rooms.get(key)
        return iter(() if room is None else tuple(room.sessions.values()))

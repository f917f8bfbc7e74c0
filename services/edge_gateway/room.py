"""A room as one gateway sees it: its own sessions, and what they publish."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from services.edge_gateway.ending import Ending
from services.edge_gateway.items import Item, StreamsChanged
from services.edge_gateway.local_media import owner_of
from services.edge_gateway.media.interface import Offer, Said, TransportFailed, check_limit
from services.edge_gateway.stream import Stream
from shared.contracts.facts import RoomFact
from shared.contracts.ids import RoomKey

log = structlog.get_logger()


class Member(Protocol):
    """A session, as its room needs it. Of one session there may be several: each resume makes one, which takes over."""

    id: str
    room: "LocalRoom"
    task: asyncio.Task[None]

    @property
    def attachment(self) -> int | None:
        """The number of its attachment; None while it is joining or resuming."""
        ...

    @property
    def is_in(self) -> bool:
        """Whether it is in the room, and not about to leave it."""
        ...

    @property
    def engine_ids(self) -> tuple[str, ...]:
        """What the media engine calls what it has of media; nothing where it has none."""
        ...

    def post(self, item: Item) -> None:
        """Put something into the session's inbox."""
        ...

    def take_offer(self, offer: Offer) -> None:
        """Take an offer of the media engine."""
        ...

    def lose_media(self, failure: TransportFailed) -> None:
        """Take note that one of its peer connections is no more."""
        ...

    def take_word(self, text: str) -> None:
        """Take what its client said over a data channel."""
        ...

    def is_ready_for(self, fact: RoomFact) -> bool:
        """Whether a fact is news to it, and there is nothing that it has to do before."""
        ...

    def tell_ended(self, ending: Ending) -> None:
        """Tell its browser, before it takes the fact itself. Its media has stopped."""
        ...


@dataclass
class LocalRoom:
    """The sessions of this gateway in one room."""

    key: RoomKey
    members: dict[Member, None] = field(default_factory=dict)
    """In the order of their coming."""
    streams: dict[str, Stream] = field(default_factory=dict)
    publishing: int = 0
    """Streams that the engine is asked to take at the moment."""

    @contextmanager
    def place_for_stream(self, limit: int) -> Iterator[None]:
        """Keep a place free for a stream while it is being published.

        Raises:
            MediaRefusedError: there is none.
        """
        check_limit("room_streams", len(self.streams) + self.publishing + 1, limit)
        self.publishing += 1
        try:
            yield
        finally:
            self.publishing -= 1

    def add_stream(self, stream: Stream) -> None:
        """Publish a stream to the others, or what has changed of it."""
        self.streams[stream.id] = stream
        self._announce()

    def remove_stream(self, stream: str) -> None:
        """Take a stream back."""
        if self.streams.pop(stream, None) is not None:
            self._announce()

    def _announce(self) -> None:
        for member in self.members:
            member.post(StreamsChanged())


class LocalRooms:
    """All rooms that have a session here."""

    def __init__(self) -> None:
        self._rooms: dict[RoomKey, LocalRoom] = {}
        self._members: dict[str, list[Member]] = {}
        self._by_engine_id: dict[str, Member] = {}

    def enter(self, key: RoomKey, member: Member) -> LocalRoom:
        """Register a session, before its command is sent: an event may be faster than the reply."""
        room = self._rooms.setdefault(key, LocalRoom(key))
        room.members[member] = None
        self._members.setdefault(member.id, []).append(member)
        return room

    def exit(self, member: Member) -> None:
        """Let go of a session."""
        room, same = member.room, self._members[member.id]
        del room.members[member]
        same.remove(member)
        if not same:
            del self._members[member.id]
        if not room.members:
            del self._rooms[room.key]

    def serve(self, engine_id: str, member: Member) -> None:
        """Have the offers of some media go to this session from now on."""
        self._by_engine_id[engine_id] = member

    def stopped(self, engine_id: str) -> None:
        """Forget media that is not there any more."""
        self._by_engine_id.pop(engine_id, None)

    def offered(self, offer: Offer) -> None:
        """Take an offer of the media engine to its session."""
        if (member := self._by_engine_id.get(offer.session)) is not None:
            member.take_offer(offer)

    def media_failed(self, failure: TransportFailed) -> None:
        """Tell a session that a peer connection of it is no more."""
        if (member := self._by_engine_id.get(owner_of(failure.session))) is not None:
            log.warning("media_lost", session=member.id, connection=failure.connection, reason=failure.reason)
            member.lose_media(failure)

    def said(self, said: Said) -> None:
        """Take what a client said over a data channel to its session."""
        if (member := self._by_engine_id.get(owner_of(said.session))) is not None:
            member.take_word(said.text)

    def rooms(self) -> list[LocalRoom]:
        """Return all rooms."""
        return list(self._rooms.values())

    def everybody(self) -> list[Member]:
        """Return all sessions."""
        return [member for same in self._members.values() for member in same]

    def in_room(self, key: RoomKey) -> list[Member]:
        """Return the sessions of a room, as they are now."""
        room = self._rooms.get(key)
        return [] if room is None else list(room.members)

    def has(self, session: str) -> bool:
        """Say whether there is anything of a session."""
        return session in self._members

    def of_session(self, session: str) -> list[Member]:
        """Return all that there is of one session."""
        return list(self._members.get(session, ()))

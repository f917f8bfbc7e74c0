"""What a session has of media on this gateway. It outlives sockets: a session that is resumed here takes it over."""

import asyncio
from dataclasses import replace
from typing import Any, Protocol

from services.edge_gateway.media.interface import Connection, MediaEngine, Offer
from services.edge_gateway.protocol import ErrorCode, RequestRefusedError
from services.edge_gateway.stream import Stream
from services.edge_gateway.view import RoomView


class Board(Protocol):
    """Where the others in the room see what is published."""

    def add_stream(self, stream: Stream) -> None:
        """Publish a stream to the others."""
        ...

    def remove_stream(self, stream: str) -> None:
        """Take it back."""
        ...


class LocalMedia:
    """A session's publication and subscriptions.

    Args:
        engine: forwards them.
        board: of the room.
        engine_id: names this to the engine, once: an attachment without media to take over begins anew under its own number.
    """

    def __init__(self, engine: MediaEngine, board: Board, engine_id: str) -> None:
        self.engine_id = engine_id
        self.published: Stream | None = None
        self.wanted: dict[str, frozenset[str]] = {}
        """The kinds that the client wants of each stream."""
        self.open_offer: Offer | None = None
        """Not answered yet."""
        self.lost: set[Connection] = set()
        """Peer connections that are no more, as long as the client has done nothing about it."""
        self._last_offer = 0
        self._former_offers = 0
        self._engine = engine
        self._board = board

    async def publish(self, stream: str, session: str, user: str, sdp: str) -> str:
        """Take a session's tracks in, as a stream. Returns the SDP of the answer.

        Raises:
            MediaRefusedError: the engine says no.
        """
        self.lost.discard("publish")
        published = await self._engine.publish(self.engine_id, sdp)
        self.published = Stream(stream, session, user, {track.kind: track.id for track in published.tracks})
        self._board.add_stream(self.published)
        return published.sdp

    async def unpublish(self) -> None:
        """End the publication, if there is one."""
        if self.published is not None:
            stream, self.published = self.published, None
            await self._engine.unpublish(self.engine_id)
            self._board.remove_stream(stream.id)

    async def unpublish_stream(self, stream: str) -> None:
        """End the publication that the client names.

        Raises:
            RequestRefusedError: there is no such.
        """
        if self.published is None or self.published.id != stream:
            raise RequestRefusedError(ErrorCode.UNKNOWN_STREAM, "this session does not publish that stream")
        await self.unpublish()

    async def subscribe(self, view: RoomView, stream: str, kinds: frozenset[str]) -> None:
        """Receive these kinds of a stream from now on.

        Raises:
            RequestRefusedError: the client knows no such stream.
            MediaRefusedError: the engine says no.
        """
        choice = view.want(stream, kinds)
        self.lost.discard("subscribe")
        await self._engine.subscribe(self.engine_id, choice.tracks)
        view.accept(choice)
        self.wanted = choice.wanted

    async def let_go_of_receiving(self, view: RoomView) -> None:
        """End the subscribing peer connection; the client says anew what it wants, and gets another."""
        await self._engine.unsubscribe(self.engine_id)
        # What comes of the old one has come by now.
        self._former_offers = self._last_offer
        self.wanted = {}
        self.open_offer = None
        view.want_nothing()

    def number(self, offer: Offer) -> Offer:
        """Give an offer of the engine, as soon as it comes, the number that the client sees: they rise over all connections."""
        self._last_offer = self._former_offers + offer.number
        return replace(offer, number=self._last_offer)

    def offered(self, offer: Offer) -> bool:
        """Take note of a numbered offer that the client is told now; False where its connection is no more."""
        if offer.number <= self._former_offers:
            return False
        self.open_offer = offer
        return True

    async def answer(self, number: int, sdp: str) -> None:
        """Take the client's answer to the open offer. One that is about a connection of before says nothing any more.

        Raises:
            MediaRefusedError: the engine says no.
        """
        if number > self._former_offers:
            await self._engine.answer(self.engine_id, number - self._former_offers, sdp)
            self.open_offer = None

    def describe(self) -> dict[str, Any]:
        """Build what the client is told when it goes on with this."""
        return {"media": True, "published": None if self.published is None else self.published.id}

    async def stop(self, stopped: asyncio.Future[float] | None = None) -> float:
        """End all of it, in both directions. Returns Unix time in seconds, taken after the last packet.

        Args:
            stopped: resolved with that time where somebody else has the engine stop it, together with others.
        """
        stopped_at = await (self._engine.stop(self.engine_id) if stopped is None else asyncio.shield(stopped))
        if self.published is not None:
            stream, self.published = self.published, None
            self._board.remove_stream(stream.id)
        return stopped_at

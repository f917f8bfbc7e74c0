"""What a session has of media on this gateway. It outlives sockets: a session that is resumed here takes it over."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from services.edge_gateway.media.interface import Connection, MediaEngine, Offer, Stopped
from services.edge_gateway.protocol import ErrorCode, RequestRefusedError
from services.edge_gateway.stream import Stream, StreamKind
from services.edge_gateway.view import RoomView, Wanted

_BESIDE = ".auxiliary"


class Board(Protocol):
    """Where the others in the room see what is published."""

    def add_stream(self, stream: Stream) -> None:
        """Publish a stream to the others, or what has changed of it."""
        ...

    def remove_stream(self, stream: str) -> None:
        """Take it back."""
        ...


def owner_of(engine_id: str) -> str:
    """Return the engine id of a session, whichever of its publications is named."""
    return engine_id.removesuffix(_BESIDE)


class LocalMedia:
    """A session's publications and subscriptions.

    Args:
        engine: forwards them.
        board: of the room.
        engine_id: names this to the engine, once: an attachment without media to take over begins anew under its own number.
            An auxiliary stream has a peer connection of its own, and is another session to the engine.
    """

    def __init__(self, engine: MediaEngine, board: Board, engine_id: str) -> None:
        self.engine_id = engine_id
        self.published: dict[StreamKind, Stream] = {}
        self.wanted: Mapping[str, Wanted] = {}
        """What the client wants of each stream."""
        self.open_offer: Offer | None = None
        """Not answered yet."""
        self.lost: set[Connection] = set()
        """Peer connections that are no more, as long as the client has done nothing about it."""
        self._last_offer = 0
        self._former_offers = 0
        # Noted before the engine is asked: who is stopped in the midst of it is stopped with everything.
        self._engine_ids = {engine_id: None}
        self._engine = engine
        self._board = board

    @property
    def engine_ids(self) -> tuple[str, ...]:
        """All that the engine may call what is here."""
        return tuple(self._engine_ids)

    def _engine_id_of(self, kind: StreamKind) -> str:
        return self.engine_id if kind == "main" else self.engine_id + _BESIDE

    async def publish(self, stream: Stream, sdp: str) -> str:
        """Take a stream's tracks in. Returns the SDP of the answer.

        Raises:
            MediaRefusedError: the engine says no.
        """
        self.lost.discard("publish")
        engine_id = self._engine_id_of(stream.kind)
        self._engine_ids[engine_id] = None
        published = await self._engine.publish(engine_id, sdp)
        self.published[stream.kind] = replace(
            stream,
            tracks={track.kind: track.id for track in published.tracks},
            codecs={track.kind: track.codec for track in published.tracks},
            small=any(track.layered for track in published.tracks),
        )
        self._board.add_stream(self.published[stream.kind])
        return published.sdp

    async def unpublish(self) -> None:
        """End all that is published."""
        for kind in list(self.published):
            await self._unpublish(kind)

    async def _unpublish(self, kind: StreamKind) -> None:
        stream = self.published.pop(kind)
        await self._engine.unpublish(self._engine_id_of(kind))
        self._board.remove_stream(stream.id)

    async def unpublish_stream(self, stream: str) -> None:
        """End the publication that the client names.

        Raises:
            RequestRefusedError: there is no such.
        """
        await self._unpublish(self._kind_of(stream))

    async def restart_stream(self, stream: str, sdp: str) -> str:
        """Have the client look for a new way for what it publishes. Returns the SDP of the answer.

        Raises:
            RequestRefusedError: there is no such stream.
            MediaRefusedError: the engine says no.
        """
        return await self._engine.restart_publication(self._engine_id_of(self._kind_of(stream)), sdp)

    async def restart_receiving(self) -> None:
        """Have the client look for a new way for what it receives; an offer follows. Raises MediaRefusedError: it receives nothing."""
        await self._engine.restart_subscription(self.engine_id)

    def mute_stream(self, stream: str, muted: frozenset[str]) -> None:
        """Tell the others which kinds of a stream its publisher has muted.

        Raises:
            RequestRefusedError: there is no such stream.
        """
        kind = self._kind_of(stream)
        self.published[kind] = replace(self.published[kind], muted=muted)
        self._board.add_stream(self.published[kind])

    def _kind_of(self, stream: str) -> StreamKind:
        for kind, published in self.published.items():
            if published.id == stream:
                return kind
        raise RequestRefusedError(ErrorCode.UNKNOWN_STREAM, "this session does not publish that stream")

    async def subscribe(self, view: RoomView, stream: str, wanted: Wanted) -> None:
        """Receive so much of a stream from now on.

        Raises:
            RequestRefusedError: the client knows no such stream.
            MediaRefusedError: the engine says no.
        """
        choice = view.want(stream, wanted)
        self.lost.discard("subscribe")
        await self._engine.subscribe(self.engine_id, choice.tracks, choice.small)
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
        published = {kind: stream.id for kind, stream in self.published.items()}
        return {"media": True, "published": published.get("main"), "auxiliary": published.get("auxiliary")}

    async def stop(self, stopping: asyncio.Future[Stopped] | None = None, notice: str | None = None) -> tuple[float, bool]:
        """End all of it, in both directions.

        Args:
            stopping: resolved where somebody else has the engine stop it, together with others.
            notice: what the client is to be told over a data channel.

        Returns:
            Unix time in seconds, taken after the last packet, and whether the client is told.
        """
        stopped = await (self._engine.stop(*self.engine_ids, notice=notice) if stopping is None else asyncio.shield(stopping))
        published, self.published = self.published, {}
        for stream in published.values():
            self._board.remove_stream(stream.id)
        return stopped.at, not stopped.told.isdisjoint(self._engine_ids)

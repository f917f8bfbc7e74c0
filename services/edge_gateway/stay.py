"""A session that is in: who it is, what it sees of its room, what it has of media, and what its client may ask for."""

from collections.abc import Callable
from typing import Any

from services.edge_gateway import protocol
from services.edge_gateway.house import House
from services.edge_gateway.items import Item, SwitchDone
from services.edge_gateway.local_media import LocalMedia
from services.edge_gateway.media.interface import Connection, MediaRefusedError, Offer
from services.edge_gateway.membership import Admission, Membership
from services.edge_gateway.protocol import ErrorCode, Mode, RequestRefusedError
from services.edge_gateway.room import LocalRoom
from services.edge_gateway.stream import Stream
from services.edge_gateway.view import RoomView, Told, Wanted
from shared.contracts.commands import Role
from shared.contracts.facts import Joined, Left, RoleSwitched, RoomFact


class Stay:
    """From its admission on.

    Args:
        house: of the gateway.
        room: where it is.
        membership: its place in the registry.
        attachment: its number.
        user: whose it is.
        role: what it may do.
        mode: in ``rtc`` there is one role only.
        admission: what the registry has answered.
        media: what it has of media.
        post: puts something into the session's inbox.
    """

    def __init__(
        self,
        house: House,
        room: LocalRoom,
        membership: Membership,
        *,
        attachment: int,
        user: str,
        role: Role,
        mode: Mode,
        admission: Admission,
        media: LocalMedia,
        post: Callable[[Item], None],
    ) -> None:
        self.attachment = attachment
        self.user = user
        self.role = role
        self.media = media
        self._house = house
        self._room = room
        self._membership = membership
        self._mode = mode
        self._post = post
        self._view = RoomView(admission, room.streams.values(), media.wanted)
        self._switching = False

    def describe(self) -> Told:
        """Build what every client is told that is let in."""
        entered = {"session": self._membership.session, "attachment": self.attachment, "codecs": list(self._house.codecs)}
        return {**entered, **self._house.relays.describe(self._membership.session), **self._view.describe()}

    def is_news(self, fact: RoomFact) -> bool:
        """Say whether the client may have to hear of a fact."""
        return self._view.is_news(fact)

    async def hear(self, fact: RoomFact) -> list[Told]:
        """Take a fact that does not end the session. Returns what the client is to be told."""
        streams = self._room.streams.values()
        match fact:
            case Joined():
                return self._view.joined(fact, streams)
            case RoleSwitched() if fact.session == self._membership.session:
                await self._have_role(fact.role)
            case RoleSwitched():
                return self._view.role_switched(fact, streams)
            case Left():
                return self._view.left(fact)
        self._view.advance(fact)
        return []

    def streams_changed(self) -> list[Told]:
        """Take note that somebody has started or stopped publishing. Returns what the client is to be told."""
        return self._view.streams_changed(self._room.streams.values())

    def offer(self, offer: Offer) -> list[Told]:
        """Take an offer of the engine. Returns what the client is to be told."""
        return [self._view.offer(offer)] if self.media.offered(offer) else []

    async def lose_media(self, connection: Connection) -> list[Told]:
        """Let go of what went over a peer connection that is no more. Returns what the client is to be told."""
        if connection not in self.media.lost:
            return []
        if connection == "publish":
            await self.media.unpublish()
        else:
            await self.media.let_go_of_receiving(self._view)
        return [protocol.media_lost(connection)]

    def open_offer(self) -> list[Told]:
        """Build the offer that was not answered over a former socket."""
        return [] if self.media.open_offer is None else [self._view.offer(self.media.open_offer)]

    async def answer(self, request: protocol.Request) -> Told | None:
        """Serve a request. Returns the reply; None is one that comes later."""
        try:
            result = await self._serve(request)
        except RequestRefusedError as error:
            return protocol.refusal(request.id, error)
        except MediaRefusedError as error:
            code = ErrorCode(error.code)
            if error.limit is not None:
                self._house.metrics.media_refused(error.limit)
            return protocol.refusal(request.id, RequestRefusedError(code, error.message, retry=code is ErrorCode.UNAVAILABLE))
        return None if result is None else protocol.result(request.id, result)

    async def switched(self, done: SwitchDone) -> Told:
        """Take the registry's answer to a switch of the role. Returns the reply."""
        self._switching = False
        if done.refusal is not None:
            return protocol.refusal(done.request, done.refusal)
        await self._have_role(done.role)
        return protocol.result(done.request, {})

    async def _serve(self, request: protocol.Request) -> dict[str, Any] | None:
        match request:
            case protocol.PublishRequest():
                return await self._publish(request)
            case protocol.UnpublishRequest():
                await self.media.unpublish_stream(request.stream)
            case protocol.SubscribeRequest():
                kinds = {kind for kind, wanted in (("audio", request.audio), ("video", request.video)) if wanted}
                await self.media.subscribe(self._view, request.stream, Wanted(frozenset(kinds), small=request.size == "small"))
            case protocol.UnsubscribeRequest():
                await self.media.subscribe(self._view, request.stream, Wanted())
            case protocol.ReconnectRequest():
                await self.media.let_go_of_receiving(self._view)
            case protocol.RestartIceRequest(stream=str() as stream, sdp=str() as sdp):
                return {"sdp": await self.media.restart_stream(stream, sdp)}
            case protocol.RestartIceRequest():
                await self.media.restart_receiving()
            case protocol.IceServersRequest():
                return self._house.relays.describe(self._membership.session)
            case protocol.MuteRequest():
                self.media.mute_stream(request.stream, frozenset(request.muted))
            case protocol.SwitchRoleRequest():
                await self._switch_role(request)
                return None
            case _:
                raise RequestRefusedError(ErrorCode.INVALID_STATE, "this socket has its session; a session has one socket")
        return {}

    async def _publish(self, request: protocol.PublishRequest) -> dict[str, Any]:
        if self._switching:
            raise RequestRefusedError(ErrorCode.INVALID_STATE, "the role is being switched")
        if self.role is not Role.ANCHOR:
            raise RequestRefusedError(ErrorCode.NO_PERMISSION, "audience may not publish")
        stream = Stream(self._house.new_id(), self._membership.session, self.user, kind=request.kind, muted=frozenset(request.muted))
        with self._room.place_for_stream(self._house.streams_per_room):
            sdp = await self.media.publish(stream, request.sdp)
        return {"stream": stream.id, "sdp": sdp}

    async def _switch_role(self, request: protocol.SwitchRoleRequest) -> None:
        if self._mode == "rtc":
            raise RequestRefusedError(ErrorCode.INVALID_STATE, "in mode rtc everybody is an anchor")
        if self._switching:
            raise RequestRefusedError(ErrorCode.INVALID_STATE, "the role is being switched")
        self._switching = True
        if request.role is Role.AUDIENCE:
            # Whatever the registry says: nobody is to be heard who believes that he is not.
            await self.media.unpublish()
        self._house.in_background(self._ask_for_role(request))

    async def _ask_for_role(self, request: protocol.SwitchRoleRequest) -> None:
        refusal: RequestRefusedError | None = None
        try:
            await self._membership.switch_role(self.attachment, request.role)
        except RequestRefusedError as error:
            refusal = error
        self._post(SwitchDone(request.id, request.role, refusal))

    async def _have_role(self, role: Role) -> None:
        self.role = role
        if role is Role.AUDIENCE:
            await self.media.unpublish()

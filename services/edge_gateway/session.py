"""One session on this gateway: a task of its own, an inbox, and one exit.

Whatever happens to a session is posted to its inbox: what the client says, what was committed, what others publish,
timers. The task takes one after the other, so nothing in here races. Every ending leaves through :meth:`Session._let_go`.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, assert_never

import structlog

from services.edge_gateway import protocol
from services.edge_gateway.house import House
from services.edge_gateway.items import GraceOver, Heard, Item, JoinDone, LeaveDone, SocketGone, StreamsChanged
from services.edge_gateway.lifecycle import Action, Event, State, move
from services.edge_gateway.media.interface import MediaRefusedError, Offer
from services.edge_gateway.membership import Ending
from services.edge_gateway.protocol import CloseCode, ErrorCode, RequestRefusedError
from services.edge_gateway.room import Stream
from services.edge_gateway.socket import Socket
from services.edge_gateway.view import RoomView, Told
from shared.contracts.commands import Role
from shared.contracts.facts import Dissolved, Joined, Left
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import CLIENT_BANNED, LeaveReason
from shared.contracts.receipts import SessionReceipt
from shared.contracts.replies import JoinReply

log = structlog.get_logger()

MAX_INBOX = 4096
ACK_SECONDS = 2.0


@dataclass(frozen=True)
class Arrival:
    """A join that was authenticated."""

    key: RoomKey
    user: str
    role: Role
    request: int
    """The id of the request, for the reply."""


class Session:
    """One stay of one userId in one room, attached here."""

    def __init__(self, house: House, arrival: Arrival, socket: Socket) -> None:
        self.id = house.new_id()
        self.user = arrival.user
        self.role = arrival.role
        self.correlation = house.new_id()
        self._house = house
        self._arrival = arrival
        self._socket = socket
        self._socket_open = True
        self._state = State.JOINING
        self._inbox: asyncio.Queue[Item] = asyncio.Queue(MAX_INBOX)
        self._view: RoomView | None = None
        self._held: list[Heard] = []
        self._published: Stream | None = None
        self._leave_request: int | None = None
        self._leaving_as: Ending = LeaveReason.TIMED_OUT
        self._ending: tuple[LeaveReason, Heard] | None = None
        self._media_stopped_at: int | None = None
        self._receipt: SessionReceipt | None = None
        self._awaits_ack = False
        self._began = time.monotonic()
        self._grace: asyncio.TimerHandle | None = None
        self._membership = house.membership(arrival.key, self.id, arrival.user, arrival.role, self.correlation)
        self._log = log.bind(session=self.id, app=arrival.key.app, room=arrival.key.room, user=arrival.user, correlation=self.correlation)
        self.room = house.rooms.enter(arrival.key, self)
        self.task = asyncio.create_task(self._run())

    def post(self, item: Item) -> None:
        """Put something into the inbox. A session that cannot keep up is ended, not served halfway."""
        try:
            self._inbox.put_nowait(item)
        except asyncio.QueueFull:
            self._log.error("session_inbox_full", limit=MAX_INBOX)
            self.task.cancel()

    async def _run(self) -> None:
        self._house.in_background(self._join())
        try:
            while self._state is not State.ENDED:
                await self._take(await self._inbox.get())
        except Exception:  # noqa: BLE001 -- a session's bug ends the session, not the gateway
            self._log.exception("session_broken")
        finally:
            await self._let_go()

    async def _take(self, item: Item) -> None:
        match item:
            case Heard():
                await self._hear(item)
            case StreamsChanged():
                if self._view is not None:
                    self._tell(*self._view.streams_changed(self.room.streams.values()))
            case Offer():
                if self._view is not None:
                    self._tell(self._view.offer(item))
            case JoinDone():
                await self._joined(item.answer)
            case LeaveDone():
                if self._state is State.LEAVING:
                    await self._move(Event.ENDED)
            case SocketGone():
                await self._socket_gone(item.code)
            case GraceOver():
                if self._state is State.CUT_OFF:
                    await self._move(Event.GRACE_OVER)
            case protocol.EndedAck():
                pass
            case protocol.Answer():
                await self._answer(item)
            case _:
                await self._request(item)

    async def _move(self, event: Event) -> None:
        self._state, actions = move(self._state, event)
        for action in actions:
            match action:
                case Action.STOP_MEDIA:
                    await self._stop_media()
                case Action.SEND_LEAVE:
                    self._house.in_background(self._leave())
                case Action.START_GRACE:
                    self._grace = asyncio.get_running_loop().call_later(self._house.reconnect_grace, self.post, GraceOver())
                case Action.TELL_ENDED:
                    self._tell_ended()
                case _:
                    assert_never(action)

    def _tell(self, *messages: Told) -> None:
        if self._state is State.JOINED:
            for message in messages:
                self._socket.send(message)

    # Coming in

    async def _join(self) -> None:
        try:
            answer: JoinReply | RequestRefusedError = await self._membership.join()
        except RequestRefusedError as error:
            answer = error
            if error.retry:
                # It may still be carried out.
                self._house.in_background(self._leave())
        self.post(JoinDone(answer))

    async def _joined(self, answer: JoinReply | RequestRefusedError) -> None:
        was_joining = self._state is State.JOINING
        if isinstance(answer, RequestRefusedError):
            await self._move(Event.REFUSED)
            if was_joining:
                self._log.info("join_refused", code=answer.code, reason=answer.message)
                self._socket.send(protocol.refusal(self._arrival.request, answer))
                self._socket.close(CloseCode.JOIN_REFUSED)
            return
        self._view = RoomView(answer, self.room.streams.values())
        await self._move(Event.ADMITTED)
        if was_joining:
            self._socket.send(protocol.result(self._arrival.request, {"session": self.id, **self._view.describe()}))
            self._log.info("session_joined", role=self.role, duration_ms=round((time.monotonic() - self._began) * 1000, 1))
        held, self._held = self._held, []
        for heard in held:
            await self._hear(heard)

    # Being in

    async def _hear(self, heard: Heard) -> None:
        fact = heard.fact
        if self._view is None:
            # The reply will say which facts are news.
            self._held.append(heard)
            return
        if self._state is State.ENDED or not self._view.is_news(fact):
            return
        match fact:
            case Joined():
                self._tell(*self._view.joined(fact, self.room.streams.values()))
            case Left() if any(end.session == self.id for end in fact.sessions):
                await self._end(fact.reason, heard)
            case Left():
                self._tell(*self._view.left(fact))
            case Dissolved():
                await self._end(LeaveReason.DISMISSED, heard)

    async def _request(self, request: protocol.Request) -> None:
        if isinstance(request, protocol.LeaveRequest) and self._leave_request is None:
            self._leave_request = request.id
            await self._ask_to_leave()
            return
        try:
            reply = protocol.result(request.id, await self._serve(request))
        except RequestRefusedError as error:
            reply = protocol.refusal(request.id, error)
        except MediaRefusedError as error:
            reply = protocol.refusal(request.id, RequestRefusedError(ErrorCode(error.code), error.message))
        self._socket.send(reply)

    async def _serve(self, request: protocol.Request) -> dict[str, Any]:
        if self._state is not State.JOINED or self._view is None:
            raise RequestRefusedError(ErrorCode.INVALID_STATE, "the session is not in the room")
        match request:
            case protocol.PublishRequest():
                return await self._publish(request)
            case protocol.UnpublishRequest():
                return await self._unpublish(request)
            case protocol.SubscribeRequest():
                kinds = {kind for kind, wanted in (("audio", request.audio), ("video", request.video)) if wanted}
                return await self._subscribe(self._view, request.stream, frozenset(kinds))
            case protocol.UnsubscribeRequest():
                return await self._subscribe(self._view, request.stream, frozenset())
            case _:
                raise RequestRefusedError(ErrorCode.INVALID_STATE, "this socket has joined already; a session has one socket")

    async def _publish(self, request: protocol.PublishRequest) -> dict[str, Any]:
        if self.role is not Role.ANCHOR:
            raise RequestRefusedError(ErrorCode.NO_PERMISSION, "audience may not publish")
        published = await self._house.media.publish(self.id, request.sdp)
        stream = Stream(self._house.new_id(), self.id, self.user, {track.kind: track.id for track in published.tracks})
        self._published = stream
        self.room.add_stream(stream)
        self._log.info("stream_published", stream=stream.id, kinds=sorted(stream.tracks))
        return {"stream": stream.id, "sdp": published.sdp}

    async def _unpublish(self, request: protocol.UnpublishRequest) -> dict[str, Any]:
        if self._published is None or self._published.id != request.stream:
            raise RequestRefusedError(ErrorCode.UNKNOWN_STREAM, "this session does not publish that stream")
        self._published = None
        await self._house.media.unpublish(self.id)
        self.room.remove_streams(self.id)
        return {}

    async def _subscribe(self, view: RoomView, stream: str, kinds: frozenset[str]) -> dict[str, Any]:
        choice = view.want(stream, kinds)
        await self._house.media.subscribe(self.id, choice.tracks)
        view.accept(choice)
        return {}

    async def _answer(self, answer: protocol.Answer) -> None:
        if self._state is not State.JOINED:
            return
        try:
            await self._house.media.answer(self.id, answer.number, answer.sdp)
        except MediaRefusedError as error:
            self._socket.send(protocol.problem(error.message))
            self._socket.close(CloseCode.PROTOCOL)

    # Going out

    async def _socket_gone(self, code: int) -> None:
        self._socket_open = False
        if code in (CloseCode.ENDED, CloseCode.TAB_CLOSED):
            await self._ask_to_leave()
        elif code == CloseCode.GOING_AWAY:
            # Nobody will be here to wait for it.
            await self._move(Event.LEAVE)
        else:
            await self._move(Event.SOCKET_LOST)

    async def _ask_to_leave(self) -> None:
        if self._state in (State.JOINING, State.JOINED):
            self._leaving_as = LeaveReason.LEFT
        await self._move(Event.LEAVE)

    async def _leave(self) -> None:
        await self._membership.leave(self._leaving_as)
        self.post(LeaveDone())

    async def _end(self, reason: LeaveReason, heard: Heard) -> None:
        self._ending = reason, heard
        await self._move(Event.ENDED)

    async def _stop_media(self) -> None:
        stopped_at = await self._house.media.stop(self.id)
        if self._media_stopped_at is None:
            self._media_stopped_at = int(stopped_at * 1000)

    def _tell_ended(self) -> None:
        if self._leave_request is not None:
            self._socket.send(protocol.result(self._leave_request, {}))
        elif self._ending is not None and self._socket_open:
            reason, heard = self._ending
            words = CLIENT_BANNED.get(reason)
            self._socket.send(protocol.ended(reason, heard.correlation, None if words is None else words._asdict()))
            self._awaits_ack = True

    async def _let_go(self) -> None:
        """The one exit: media stopped, the others told, the browser told and heard, the socket closed, one line written."""
        await self._stop_media()
        self._write_receipt()
        self._house.rooms.exit(self)
        if self._grace is not None:
            self._grace.cancel()
        broken = self._state is not State.ENDED
        if broken:
            self._house.in_background(self._leave())
        told = await self._wait_for_ack() if self._awaits_ack else None
        self._write_receipt(told=bool(told))
        self._socket.close(CloseCode.GOING_AWAY if broken else CloseCode.ENDED)
        if self._view is not None:
            reason = self._ending[0] if self._ending else self._leaving_as
            cause = self._ending[1].correlation if self._ending else self.correlation
            self._log.info("session_ended", reason=reason, cause=cause, told=told, seconds=round(time.monotonic() - self._began, 3))

    def _write_receipt(self, *, told: bool = False) -> None:
        """Report an ending that an administrator's command caused: media has stopped, and perhaps the browser was told."""
        if self._ending is None or self._ending[0] not in (LeaveReason.REMOVED, LeaveReason.DISMISSED):
            return
        app, command = self._arrival.key.app, self._ending[1].command
        if self._receipt is None:
            assert self._media_stopped_at is not None
            self._receipt = SessionReceipt(session=self.id, user=self.user, media_stopped_at=self._media_stopped_at)
            self._house.receipts.media_stopped(app, command, self._receipt)
        if told:
            self._house.receipts.told(app, command, self._receipt)

    async def _wait_for_ack(self) -> bool:
        """Wait until the application was told; False where its browser is gone or does not say so in time."""
        try:
            async with asyncio.timeout(ACK_SECONDS):
                while True:
                    match await self._inbox.get():
                        case protocol.EndedAck():
                            return True
                        case SocketGone():
                            return False
        except TimeoutError:
            return False

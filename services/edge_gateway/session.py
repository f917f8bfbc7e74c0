"""One session on this gateway, over one socket: a task of its own, an inbox, and one exit.

Whatever happens to a session is posted to its inbox: what the client says, what was committed, what others publish,
timers. The task takes one after the other, so nothing in here races. Every ending leaves through :meth:`Session._let_go`.

A resume makes another one, which asks an older one of this gateway for its media.
"""

import asyncio
import contextlib
import time
from typing import assert_never

from services.edge_gateway import protocol
from services.edge_gateway.arrival import Arrival, Joining, Resuming
from services.edge_gateway.departure import Departure
from services.edge_gateway.ending import Ending
from services.edge_gateway.house import House
from services.edge_gateway.inbox import Inbox
from services.edge_gateway.items import (
    Answered,
    Closing,
    DetachDone,
    Disowned,
    GraceOver,
    Heard,
    Item,
    LeaveDone,
    MediaLost,
    Move,
    SocketGone,
    StreamsChanged,
    SwitchDone,
    Yield,
)
from services.edge_gateway.lifecycle import Action, Event, State, move
from services.edge_gateway.local_media import LocalMedia
from services.edge_gateway.media.interface import MediaRefusedError, Offer, Stopped, TransportFailed
from services.edge_gateway.membership import Admission, LeavesAs
from services.edge_gateway.protocol import CloseCode, ErrorCode, ProtocolError, RequestRefusedError
from services.edge_gateway.record import Record
from services.edge_gateway.socket import Socket
from services.edge_gateway.stay import Stay
from services.edge_gateway.view import Told
from shared.contracts.commands import Role
from shared.contracts.facts import Attached, Detached, RoomFact
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import JoinReply, ResumeReply

_WAITS_FOR_RESUME = Heard | SocketGone | Move | protocol.LeaveRequest


class Session:
    """One stay of one userId in one room, attached here."""

    def __init__(self, house: House, arrival: Arrival, socket: Socket) -> None:
        self.id = arrival.session
        self.attachment: int | None = None
        self._correlation = house.new_id()
        self._house = house
        self._arrival = arrival
        self._socket = socket
        self._socket_lost_at: float | None = None
        self._close_code = CloseCode.ENDED
        self._state = State.JOINING if isinstance(arrival, Joining) else State.RESUMING
        self._inbox = Inbox()
        self._stay: Stay | None = None
        self._media: LocalMedia | None = None
        self._inherited = False
        self._stopped_media: str | None = None
        self._heir: Yield | None = None
        self._left_by: Event | None = None
        self._leaving_as: LeavesAs = LeaveReason.TIMED_OUT
        self._refusal: RequestRefusedError | None = None
        self._on_its_way_out = False
        self._record = Record(self.id, arrival.key, self._correlation, house.metrics)
        self._departure = Departure(arrival, house, self._record, socket, self._inbox)
        self._grace: asyncio.TimerHandle | None = None
        self._membership = house.membership(arrival.key, self.id, self._correlation)
        self.room = house.rooms.enter(arrival.key, self)
        self.task = asyncio.create_task(self._run())

    @property
    def is_in(self) -> bool:
        """Whether it is in the room, and not about to leave it."""
        return self._state in (State.JOINED, State.CUT_OFF)

    @property
    def engine_ids(self) -> tuple[str, ...]:
        """What the media engine calls what it has of media; nothing where it has none."""
        return () if self._media is None else self._media.engine_ids

    def take_offer(self, offer: Offer) -> None:
        """Take an offer of the media engine, and number it at once."""
        if self._media is not None:
            self.post(self._media.number(offer))

    def lose_media(self, failure: TransportFailed) -> None:
        """Take note that one of its peer connections is no more."""
        if self._media is not None:
            self._media.lost.add(failure.connection)
            self.post(MediaLost(failure.connection))

    def take_word(self, text: str) -> None:
        """Take what the client says over a data channel when it was told of the end: that its application was."""
        with contextlib.suppress(ProtocolError, RequestRefusedError):
            if isinstance(message := protocol.parse(text), protocol.EndedAck):
                self.post(message)

    def is_ready_for(self, fact: RoomFact) -> bool:
        """Whether a fact is news to it, and there is nothing that it has to do before."""
        return self._state is State.JOINED and self._inbox.is_idle and self._stay is not None and self._stay.is_news(fact)

    def tell_ended(self, ending: Ending) -> None:
        """Tell its browser, before it takes the fact itself. Its media has stopped."""
        self._departure.tell(ending)

    def post(self, item: Item) -> None:
        """Put something into the inbox. A session that cannot keep up is ended, not served halfway."""
        if not self._inbox.put(item):
            self._overflowed()

    def inherit(self, media: LocalMedia) -> None:
        """Take over what an older attachment of this session has of media."""
        self._media = media
        self._inherited = True
        self._house.rooms.serve(media.engine_id, self)

    async def _run(self) -> None:
        self._house.in_background(self._enter())
        try:
            while self._state is not State.ENDED:
                await self._take(await self._inbox.get())
        except Exception:  # noqa: BLE001 -- a session's bug ends the session, not the gateway
            self._record.broken()
        finally:
            await self._let_go()

    async def _take(self, item: Item) -> None:
        if self._is_too_early(item):
            if not self._inbox.hold(item):
                self._overflowed()
            return
        match item:
            case Heard():
                await self._hear(item)
            case StreamsChanged():
                if self._stay is not None:
                    self._tell(*self._stay.streams_changed())
            case Offer():
                if self._stay is not None:
                    self._tell(*self._stay.offer(item))
            case MediaLost():
                if self._stay is not None and self._media is not None:
                    self._tell(*await self._stay.lose_media(item.connection))
            case Answered():
                await self._answered(item.answer)
            case SwitchDone():
                if self._stay is not None:
                    self._socket.send(await self._stay.switched(item))
            case LeaveDone() if self._state is State.LEAVING:
                await self._move(Event.ENDED)
            case DetachDone():
                await self._move(Event.DETACHED)
            case SocketGone():
                self._socket_lost_at = time.monotonic()
                await (self._move(Event.SOCKET_LOST) if item.lost else self._ask_to_leave())
            case GraceOver() if self._state is State.CUT_OFF:
                await self._grace_over()
            case Yield():
                self._heir = item
                await self._move(Event.YIELD)
            case Disowned() if self.is_in:
                await self._end(Ending(LeaveReason.TIMED_OUT, "", self._correlation))
            case Move():
                self._tell(protocol.move())
            case Closing():
                self._close_code = CloseCode.GOING_AWAY
                await self._move(Event.CLOSING)
            case LeaveDone() | GraceOver() | Disowned() | protocol.EndedAck():
                pass
            case protocol.Answer():
                await self._answer(item)
            case _:
                await self._request(item)

    def _is_too_early(self, item: Item) -> bool:
        # The reply to a join will say which facts are news.
        return isinstance(item, _WAITS_FOR_RESUME) if self._state is State.RESUMING else isinstance(item, Heard) and self._stay is None

    async def _move(self, event: Event) -> None:
        self._state, actions = move(self._state, event)
        self._left_by = event
        for action in actions:
            match action:
                case Action.STOP_MEDIA:
                    await self._stop_media()
                case Action.HAND_OVER:
                    self._hand_over()
                case Action.SEND_LEAVE:
                    self._house.in_background(self._leave())
                case Action.SEND_DETACH:
                    self._house.in_background(self._detach())
                case Action.START_GRACE:
                    self._start_grace(self._house.hearing.grace_left(time.monotonic()))
                case Action.TELL_ENDED:
                    self._departure.say_last_word(reachable=self._socket_lost_at is None)
                case Action.TELL_REFUSED:
                    assert self._refusal is not None
                    self._close_code = self._departure.refuse(self._refusal)
                case Action.DROP_SOCKET:
                    self._socket.close(CloseCode.SUPERSEDED)
                case _:
                    assert_never(action)

    def _tell(self, *messages: Told) -> None:
        if self._state is State.JOINED:
            for message in messages:
                self._socket.send(message)

    def _overflowed(self) -> None:
        if not self._on_its_way_out:
            self._on_its_way_out = True
            self._record.overrun()
            self.task.cancel()

    # Coming in

    async def _enter(self) -> None:
        self.post(Answered(await self._membership.enter(self._arrival)))

    async def _answered(self, answer: Admission | RequestRefusedError) -> None:
        if isinstance(answer, RequestRefusedError):
            self._refusal = answer
            await self._move(Event.REFUSED)
            return
        match answer, self._arrival:
            case JoinReply(), Joining(user=user, role=role):
                self.attachment = 1
                await self._admitted(answer, 1, user, role)
            case ResumeReply(attachment=attachment, user=user, role=role), Resuming() as arrival:
                self.attachment = attachment
                if not await self._take_over(attachment, arrival):
                    return
                await self._admitted(answer, attachment, user, role)
        for item in self._inbox.release():
            if self._state is not State.ENDED:
                await self._take(item)

    async def _take_over(self, attachment: int, arrival: Resuming) -> bool:
        """Have older attachments on this gateway yield to this one; False where it is one itself."""
        others = [member for member in self._house.rooms.of_session(self.id) if member is not self and member.attachment is not None]
        newest = max((member.attachment or 0 for member in others), default=0)
        if newest > attachment:
            await self._move(Event.SUPERSEDED)
            return False
        for member in others:
            request = Yield(self.inherit, asyncio.get_running_loop().create_future())
            member.post(request)
            await request.answered
        # Who was elsewhere meanwhile, which is not heard of here yet, has media of there; who lost a connection begins anew with both.
        if self._media is not None and (newest < arrival.known or "subscribe" in self._media.lost):
            await self._media.stop()
            self._house.rooms.stopped(self._media.engine_id)
            self._media, self._inherited = None, False
        return True

    async def _admitted(self, answer: Admission, attachment: int, user: str, role: Role) -> None:
        if self._media is None:
            engine = self._house.media.engine_of(self.room.key)
            self._media = LocalMedia(engine, self.room, f"{self.id}.{attachment}")
            self._house.rooms.serve(self._media.engine_id, self)
        if role is Role.AUDIENCE:
            # It became that while it was away.
            await self._media.unpublish()
        self._stay = Stay(
            self._house,
            self.room,
            self._membership,
            attachment=attachment,
            user=user,
            role=role,
            mode=self._arrival.mode,
            admission=answer,
            media=self._media,
            post=self.post,
        )
        was = self._state
        await self._move(Event.ADMITTED)
        self._record.admitted(self._arrival.kind, user, attachment)
        if was is State.JOINING:
            self._socket.send(protocol.result(self._arrival.request, {"token": self._arrival.token, **self._stay.describe()}))
            self._record.joined(role)
        elif was is State.RESUMING:
            media = self._media.describe() if self._inherited else {"media": False, "published": None, "auxiliary": None}
            self._socket.send(protocol.result(self._arrival.request, {"role": role, **media, **self._stay.describe()}))
            self._tell(*self._stay.open_offer())
            self._record.resumed(role, media=self._inherited)

    # Being in

    async def _hear(self, heard: Heard) -> None:
        assert self._stay is not None
        fact, here, ending = heard.fact, self._house.gateway, heard.ending_of(self.id)
        if not self._stay.is_news(fact):
            return
        match fact:
            case Attached(session=self.id) if fact.attachment > self._stay.attachment and fact.gateway != here:
                await self._move(Event.MOVED)
            case Detached(session=self.id) if fact.gateway == here and self._state is State.MOVED:
                await self._move(Event.DETACHED)
            case _ if ending is not None:
                await self._end(ending, heard.media_stopped)
            case _:
                self._tell(*await self._stay.hear(fact))

    async def _request(self, request: protocol.Request) -> None:
        if isinstance(request, protocol.LeaveRequest) and self._departure.leave_request is None:
            self._departure.leave_request = request.id
            await self._ask_to_leave()
            return
        if self._state is State.JOINED and self._stay is not None:
            reply = await self._stay.answer(request)
        else:
            reply = protocol.refusal(request.id, RequestRefusedError(ErrorCode.INVALID_STATE, "the session is not in the room"))
        if reply is not None:
            self._socket.send(reply)

    async def _answer(self, answer: protocol.Answer) -> None:
        if self._state is not State.JOINED or self._media is None:
            return
        try:
            await self._media.answer(answer.number, answer.sdp)
        except MediaRefusedError as error:
            self._socket.send(protocol.problem(error.message))
            self._socket.close(CloseCode.PROTOCOL)

    # Going out

    async def _ask_to_leave(self) -> None:
        if self._state in (State.JOINING, State.JOINED):
            self._leaving_as = LeaveReason.LEFT
        await self._move(Event.LEAVE)

    async def _leave(self) -> None:
        await self._membership.leave(self.attachment or 1, self._leaving_as)
        self._house.hearing.once_heard(lambda: self.post(LeaveDone()))

    async def _detach(self) -> None:
        assert self.attachment is not None
        await self._membership.detach(self.attachment)
        self._house.hearing.once_heard(lambda: self.post(DetachDone()))

    def _start_grace(self, seconds: float) -> None:
        self._grace = asyncio.get_running_loop().call_later(seconds, self.post, GraceOver())

    async def _grace_over(self) -> None:
        assert self._socket_lost_at is not None
        if (left := self._house.hearing.grace_left(self._socket_lost_at)) > 0:
            self._start_grace(left)
        else:
            await self._move(Event.GRACE_OVER)

    async def _end(self, ending: Ending, media_stopped: asyncio.Future[Stopped] | None = None) -> None:
        # Wherever the session lives: as long as a former gateway has not detached, its word is waited for, too.
        self._departure.end(ending, None if self._stay is None else self._stay.user)
        if media_stopped is not None:
            await self._stop_media(media_stopped)
        await self._move(Event.ENDED)

    def _hand_over(self) -> None:
        """Give everything to the later attachment that asks, offers that were not taken out of the inbox included."""
        assert self._heir is not None
        if self._media is None or self._heir.answered.done():
            # Who asked is gone.
            return
        media, self._media = self._media, None
        if (offer := self._inbox.clear()) is not None:
            media.offered(offer)
        self._heir.inherit(media)

    async def _stop_media(self, stopping: asyncio.Future[Stopped] | None = None) -> None:
        if self._media is None:
            return
        ending = self._departure.ending
        stopped_at, told = await self._media.stop(stopping, None if ending is None else ending.spoken())
        self._departure.media_stopped_at = int(stopped_at * 1000)
        if ending is not None and told:
            self._departure.told_beside(ending)
        self._stopped_media, self._media = self._media.engine_id, None

    async def _let_go(self) -> None:
        """The one exit: media stopped, the others told, the browser told and heard, the socket closed, one line written."""
        self._on_its_way_out = True
        await self._stop_media()
        self._house.rooms.exit(self)
        if self._heir is not None:
            self._heir.answer()
        if self._grace is not None:
            self._grace.cancel()
        broken = self._state is not State.ENDED
        if broken and self.attachment is not None:
            self._house.in_background(self._membership.leave(self.attachment, LeaveReason.TIMED_OUT))
        told = await self._departure.finish()
        if self._stopped_media is not None:
            self._house.rooms.stopped(self._stopped_media)
        self._socket.close(CloseCode.GOING_AWAY if broken else self._close_code)
        self._inbox.clear()
        if (ending := self._departure.ending) is not None:
            self._record.ended(ending.reason, ending.correlation, told=told)
        elif self._left_by in (Event.YIELD, Event.SUPERSEDED, Event.DETACHED, Event.CLOSING):
            self._record.let_go(self._left_by.name.lower())
        elif self._stay is not None:
            self._record.ended(self._leaving_as, self._correlation, told=told)

"""The gateway between bus and sessions: committed facts come in and go to whom they concern, by one look into a dict."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from pydantic import ValidationError

from services.edge_gateway.assignments import Assignments
from services.edge_gateway.house import House
from services.edge_gateway.items import Closing, Disowned, Heard, Move
from services.edge_gateway.receipts import Report
from services.edge_gateway.room import Member
from shared.bus.stream import Stored
from shared.contracts.commands import Role
from shared.contracts.events import Event, read_events
from shared.contracts.facts import Attached, Detached, Dissolved, Fact, GatewayLost, Joined, Left, RoomFact
from shared.contracts.ids import InvalidIdError, RoomKey
from shared.contracts.reasons import LeaveReason
from shared.tracing import Context, context_of

log = structlog.get_logger()


class Gateway:
    """Distributes what is committed.

    Args:
        house: of this boot.
        fail: told when this boot must not go on.
    """

    def __init__(self, house: House, fail: Callable[[str], None]) -> None:
        self._house = house
        self._rooms = house.rooms
        self._assignments = Assignments(house.gateway)
        self.lost = False
        """Declared so: nothing may be forwarded any more."""
        self._suspects: set[Member] = set()
        self._fail = fail

    def apply(self, stored: Stored) -> None:
        """Take one committed message, in the stream's order. Never blocks."""
        try:
            events = read_events(stored.subject, stored.data)
        except (InvalidIdError, ValidationError) as error:
            # It may be a removal: who cannot read it must not go on forwarding.
            log.error("event_unreadable", seq=stored.seq, subject=stored.subject, reason=type(error).__name__)  # noqa: TRY400 -- no content
            self._fail(f"message {stored.seq} of the stream cannot be read: it is not of this version")
            return
        heard_at, now = time.monotonic(), self._house.receipts.now()
        for event in events:
            self._house.metrics.heard(event.message.at, now)
            trace = context_of(stored.headers, event.message.command)
            for fact in event.message.facts:
                self._take(event, fact, heard_at, trace)

    def _take(self, event: Event, fact: Fact, heard_at: float, trace: Context) -> None:
        key, message = event.key, event.message
        if isinstance(fact, RoomFact) and key is not None:
            self._report_unheld(key, fact, message.command)
            self._assignments.apply(key, fact)
            self._distribute(Heard(fact, message.command, message.correlation, heard_at, trace), self._concerned(key, fact))
        elif isinstance(fact, GatewayLost) and fact.gateway == self._house.gateway:
            self.lost = True
            self._fail("this gateway was declared lost: its sessions have ended")

    def reconcile(self) -> None:
        """Compare what the stream assigns to this boot with what is here, after a finished round of hearing."""
        house = self._house
        unheld = self._assignments.unheld(self._holds, house.hearing.grace_left, time.monotonic())
        for key, session, attachment in unheld:
            log.warning("session_unheld", session=session, attachment=attachment, app=key.app, room=key.room)
            membership = house.membership(key, session, house.new_id())
            house.in_background(membership.leave(attachment, LeaveReason.TIMED_OUT))
        unassigned = {
            member for member in self._rooms.everybody() if member.is_in and not self._assignments.has(member.room.key, member.id)
        }
        # A round ago its fact may have been on its way.
        for member in unassigned & self._suspects:
            log.error("session_unassigned", session=member.id)
            member.post(Disowned())
        self._suspects = unassigned

    async def drain(self, seconds: float) -> None:
        """Have the browsers go on elsewhere, not all at once; returns when they have, or the time is over."""
        members = self._rooms.everybody()
        if not members or seconds <= 0:
            return
        loop = asyncio.get_running_loop()
        for member in members:
            loop.call_later(random.uniform(0, seconds / 2), member.post, Move())  # noqa: S311 -- jitter
        _, left = await asyncio.wait({member.task for member in members}, timeout=seconds)
        log.info("gateway_drained", sessions=len(members), left=len(left))

    async def close(self, seconds: float) -> None:
        """Let go of all sessions: media stops, nothing is ended. Leaves and detaches that are on their way get so many seconds."""
        members = self._rooms.everybody()
        for member in members:
            member.post(Closing())
        if waiting := {member.task for member in members} | self._house.background:
            _, unfinished = await asyncio.wait(waiting, timeout=seconds)
            if unfinished:
                log.warning("commands_left_behind", count=len(unfinished))

    def _report_unheld(self, key: RoomKey, fact: RoomFact, command: str) -> None:
        """Report for sessions that somebody waits to hear of from this gateway, and that nobody here holds: they have no media here."""
        if not isinstance(fact, Dissolved) and not (isinstance(fact, Left) and fact.reason is LeaveReason.REMOVED):
            return
        book = self._house.receipts
        for session, user in self._assignments.ended_by(key, fact).items():
            if not self._rooms.has(session):
                Report(book, key.app, command, session, user).write(book.now(), told=False)

    def _distribute(self, heard: Heard, members: Sequence[Member]) -> None:
        """Post a fact. Of those that it ends, many perhaps, who waits for nothing else is told before anything else is done about any."""
        ready: list[Member] = []
        staying: list[Member] = []
        for member in members:
            if not heard.may_end_many or heard.ending_of(member.id) is None:
                staying.append(member)
            elif member.is_ready_for(heard.fact):
                ready.append(member)
            else:
                member.post(heard)
        if ready:
            together = replace(heard, media_stopped=asyncio.get_running_loop().create_future())
            # Its turn comes after those of the busy ones, who stop their media themselves, and before those of the ready ones.
            self._house.in_background(self._tell_together(ready, together))
            for member in ready:
                member.post(together)
        for member in staying:
            member.post(heard)

    async def _tell_together(self, members: Sequence[Member], heard: Heard) -> None:
        assert heard.media_stopped is not None
        try:
            # One fact is of one room, which has one engine.
            engine = self._house.media.engine_of(members[0].room.key)
            ending = heard.ending_of(members[0].id)
            notice = None if ending is None else ending.spoken()
            heard.media_stopped.set_result(await engine.stop(*(each for member in members for each in member.engine_ids), notice=notice))
        except Exception as error:
            log.exception("media_not_stopped", sessions=len(members))
            # Each session breaks, and tries for itself.
            heard.media_stopped.set_exception(error)
            return
        for member in members:
            if (ending := heard.ending_of(member.id)) is not None:
                member.tell_ended(ending)

    def _concerned(self, key: RoomKey, fact: RoomFact) -> list[Member]:
        """Return whom a fact is news to. Audience is seen by nobody, and a large one comes and goes."""
        match fact:
            case Joined(role=Role.AUDIENCE) | Attached() | Detached():
                return self._rooms.of_session(fact.session)
            case Left() if all(end.role is Role.AUDIENCE for end in fact.sessions):
                return [member for end in fact.sessions for member in self._rooms.of_session(end.session)]
        return self._rooms.in_room(key)

    def _holds(self, session: str, attachment: int) -> bool:
        return any(member.attachment in (None, attachment) for member in self._rooms.of_session(session))

"""The gateway between bus and sessions: committed facts come in and go to whom they concern, by one look into a dict."""

import asyncio
import random
import time
from collections.abc import Callable

import structlog
from pydantic import ValidationError

from services.edge_gateway.assignments import Assignments
from services.edge_gateway.house import House
from services.edge_gateway.items import Closing, Disowned, Heard, Move
from services.edge_gateway.media.interface import Offer
from services.edge_gateway.room import LocalRooms, Member
from shared.bus.stream import Stored
from shared.contracts.commands import Role
from shared.contracts.facts import Attached, Committed, Detached, GatewayLost, Joined, Left, RoomFact
from shared.contracts.ids import InvalidIdError, RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.subjects import parse_subject

log = structlog.get_logger()


class Gateway:
    """Distributes what is committed.

    Args:
        name: this boot's gateway id.
        fail: told when this boot must not go on.
    """

    def __init__(self, name: str, fail: Callable[[str], None]) -> None:
        self.name = name
        self.rooms = LocalRooms()
        self._assignments = Assignments(name)
        self.lost = False
        """Declared so: nothing may be forwarded any more."""
        self._suspects: set[Member] = set()
        self._fail = fail

    def apply(self, stored: Stored) -> None:
        """Take one committed message, in the stream's order. Never blocks."""
        try:
            key = parse_subject(stored.subject).key
            message = Committed.model_validate_json(stored.data)
        except (InvalidIdError, ValidationError) as error:
            # It may be a removal: who cannot read it must not go on forwarding.
            log.error("event_unreadable", seq=stored.seq, subject=stored.subject, reason=type(error).__name__)  # noqa: TRY400 -- no content
            self._fail(f"message {stored.seq} of the stream cannot be read: it is not of this version")
            return
        for fact in message.facts:
            if isinstance(fact, RoomFact) and key is not None:
                self._assignments.apply(key, fact)
                heard = Heard(fact, message.command, message.correlation)
                for member in self._concerned(key, fact):
                    member.post(heard)
            elif isinstance(fact, GatewayLost) and fact.gateway == self.name:
                self.lost = True
                self._fail("this gateway was declared lost: its sessions have ended")

    def offered(self, offer: Offer) -> None:
        """Take an offer of the media engine to its session."""
        if (member := self.rooms.served_by(offer.session)) is not None:
            member.post(offer)

    def reconcile(self, house: House) -> None:
        """Compare what the stream assigns to this boot with what is here, after a finished round of hearing."""
        unheld = self._assignments.unheld(self._holds, house.hearing.grace_left, time.monotonic())
        for key, session, attachment in unheld:
            log.warning("session_unheld", session=session, attachment=attachment, app=key.app, room=key.room)
            membership = house.membership(key, session, house.new_id())
            house.in_background(membership.leave(attachment, LeaveReason.TIMED_OUT))
        unassigned = {member for member in self.rooms.everybody() if member.is_in and not self._assignments.has(member.room.key, member.id)}
        # A round ago its fact may have been on its way.
        for member in unassigned & self._suspects:
            log.error("session_unassigned", session=member.id)
            member.post(Disowned())
        self._suspects = unassigned

    async def drain(self, seconds: float) -> None:
        """Have the browsers go on elsewhere, not all at once; returns when they have, or the time is over."""
        members = self.rooms.everybody()
        if not members or seconds <= 0:
            return
        loop = asyncio.get_running_loop()
        for member in members:
            loop.call_later(random.uniform(0, seconds / 2), member.post, Move())  # noqa: S311 -- jitter
        _, left = await asyncio.wait({member.task for member in members}, timeout=seconds)
        log.info("gateway_drained", sessions=len(members), left=len(left))

    async def close(self, house: House, seconds: float) -> None:
        """Let go of all sessions: media stops, nothing is ended. Leaves and detaches that are on their way get so many seconds."""
        members = self.rooms.everybody()
        for member in members:
            member.post(Closing())
        if waiting := {member.task for member in members} | house.background:
            _, unfinished = await asyncio.wait(waiting, timeout=seconds)
            if unfinished:
                log.warning("commands_left_behind", count=len(unfinished))

    def _concerned(self, key: RoomKey, fact: RoomFact) -> list[Member]:
        """Return whom a fact is news to. Audience is seen by nobody, and a large one comes and goes."""
        match fact:
            case Joined(role=Role.AUDIENCE) | Attached() | Detached():
                return self.rooms.of_session(fact.session)
            case Left() if all(end.role is Role.AUDIENCE for end in fact.sessions):
                return [member for end in fact.sessions for member in self.rooms.of_session(end.session)]
        return self.rooms.in_room(key)

    def _holds(self, session: str, attachment: int) -> bool:
        return any(member.attachment in (None, attachment) for member in self.rooms.of_session(session))

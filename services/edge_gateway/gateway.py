"""The gateway between bus and sessions: committed facts come in and go to whom they concern, by one look into a dict."""

import asyncio
from collections.abc import Callable

import structlog
from pydantic import ValidationError

from services.edge_gateway.house import House
from services.edge_gateway.items import Heard, SocketGone
from services.edge_gateway.media.interface import Offer
from services.edge_gateway.protocol import CloseCode
from services.edge_gateway.room import LocalRooms
from shared.bus.stream import Stored
from shared.contracts.facts import Announced, Committed, Dissolved, Joined, Left
from shared.contracts.ids import InvalidIdError, RoomKey, gateway_name
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
        self.house: House | None = None
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
            if isinstance(fact, Joined | Left | Dissolved) and key is not None:
                heard = Heard(fact, message.command, message.correlation)
                for session in self.rooms.in_room(key):
                    session.post(heard)
                if isinstance(fact, Joined):
                    self._check_assignment(key, fact)
            elif isinstance(fact, Announced):
                self._check_name(fact)

    def offered(self, offer: Offer) -> None:
        """Take an offer of the media engine to its session."""
        if (session := self.rooms.sessions.get(offer.session)) is not None:
            session.post(offer)

    async def close(self, seconds: float) -> None:
        """End all sessions: their browsers have lost this gateway, and nobody here will wait for them."""
        sessions = list(self.rooms.sessions.values())
        for session in sessions:
            session.post(SocketGone(CloseCode.GOING_AWAY))
        waiting = {session.task for session in sessions} | (set() if self.house is None else self.house.background)
        if waiting:
            _, unfinished = await asyncio.wait(waiting, timeout=seconds)
            if unfinished:
                # The next boot of this name ends them by announcing itself.
                log.warning("sessions_left_behind", count=len(unfinished))

    def _check_assignment(self, key: RoomKey, fact: Joined) -> None:
        """End a session that was given to this boot and is not here: its browser gave up while its join was on the way."""
        if self.house is None or fact.gateway != self.name or fact.session in self.rooms.sessions:
            return
        log.warning("session_unknown_here", session=fact.session)
        membership = self.house.membership(key, fact.session, fact.user, fact.role, self.house.new_id())
        self.house.in_background(membership.leave(LeaveReason.TIMED_OUT))

    def _check_name(self, fact: Announced) -> None:
        if fact.gateway != self.name and gateway_name(fact.gateway) == gateway_name(self.name):
            self._fail(f"another gateway has started with the name {gateway_name(self.name)}; names must be unique")

"""The gateway between bus and sessions: committed facts come in and go to whom they concern, by one look into a dict."""

import asyncio
from collections.abc import Callable

import structlog
from pydantic import ValidationError

from services.edge_gateway.media.interface import Offer
from services.edge_gateway.membership import Membership, Registry
from services.edge_gateway.protocol import CloseCode
from services.edge_gateway.room import LocalRooms
from services.edge_gateway.session import Heard, SocketGone
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
        registry: for sessions that the registry assigns here and nobody here knows.
        new_id: makes ids; each is used once.
        expires_at: seconds from now to Unix time in milliseconds.
        fail: told when this boot must not go on.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        *,
        new_id: Callable[[], str],
        expires_at: Callable[[float], int],
        fail: Callable[[str], None],
    ) -> None:
        self.name = name
        self.rooms = LocalRooms()
        self._registry = registry
        self._new_id = new_id
        self._expires_at = expires_at
        self._fail = fail
        self._background: set[asyncio.Task[None]] = set()

    def apply(self, stored: Stored) -> None:
        """Take one committed message, in the stream's order. Never blocks."""
        try:
            key = parse_subject(stored.subject).key
            message = Committed.model_validate_json(stored.data)
        except (InvalidIdError, ValidationError) as error:
            log.error("event_unreadable", seq=stored.seq, subject=stored.subject, reason=str(error))  # noqa: TRY400 -- the text says it all
            return
        for fact in message.facts:
            if isinstance(fact, Joined | Left | Dissolved) and key is not None:
                heard = Heard(fact, message.correlation)
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
        waiting = {session.task for session in sessions} | self._background
        if waiting:
            _, unfinished = await asyncio.wait(waiting, timeout=seconds)
            if unfinished:
                # The next boot of this name ends them by announcing itself.
                log.warning("sessions_left_behind", count=len(unfinished))

    def _check_assignment(self, key: RoomKey, fact: Joined) -> None:
        """End a session that was given to this boot and is not here: its browser gave up while its join was on the way."""
        if fact.gateway != self.name or fact.session in self.rooms.sessions:
            return
        log.warning("session_unknown_here", session=fact.session)
        membership = Membership(
            registry=self._registry,
            gateway=self.name,
            key=key,
            session=fact.session,
            user=fact.user,
            role=fact.role,
            correlation=self._new_id(),
            new_id=self._new_id,
            expires_at=self._expires_at,
        )
        task = asyncio.create_task(membership.leave(LeaveReason.TIMED_OUT))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _check_name(self, fact: Announced) -> None:
        if fact.gateway != self.name and gateway_name(fact.gateway) == gateway_name(self.name):
            self._fail(f"another gateway has started with the name {gateway_name(self.name)}; names must be unique")

"""Which sessions the stream assigns to this boot of the gateway, and which of them nobody here holds. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from shared.contracts.facts import Attached, Dissolved, Joined, Left, RoomFact
from shared.contracts.ids import RoomKey


class Assigned(NamedTuple):
    """A session that the registry believes to be here."""

    key: RoomKey
    session: str
    attachment: int


@dataclass
class _State:
    attachment: int
    user: str
    missed_at: float | None = None
    """When it was first found to be held by nobody; a round later that is certain, for nothing is on its way any more."""
    given_up: bool = False


class Assignments:
    """The sessions whose current attachment is to one gateway.

    Args:
        gateway: the id of this boot.
    """

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._rooms: dict[RoomKey, dict[str, _State]] = {}

    def apply(self, key: RoomKey, fact: RoomFact) -> None:
        """Take a committed fact of a room."""
        match fact:
            case Joined() | Attached() if fact.gateway == self._gateway:
                self._rooms.setdefault(key, {})[fact.session] = _State(fact.attachment, fact.user)
            case Attached():
                self._drop(key, fact.session)
            case Left():
                for end in fact.sessions:
                    self._drop(key, end.session)
            case Dissolved():
                self._rooms.pop(key, None)

    def ended_by(self, key: RoomKey, fact: RoomFact) -> dict[str, str]:
        """Return the sessions that this gateway holds, or held, and that a fact ends which is not applied yet; with their users."""
        match fact:
            case Left():
                return {end.session: end.user for end in fact.sessions if self._gateway in (end.gateway, *end.former)}
            case Dissolved():
                return {session: state.user for session, state in self._rooms.get(key, {}).items()}
            case _:
                return {}

    def has(self, key: RoomKey, session: str) -> bool:
        """Say whether a session is assigned to this gateway."""
        return session in self._rooms.get(key, {})

    def unheld(self, held: Callable[[str, int], bool], grace_left: Callable[[float], float], now: float) -> Iterator[Assigned]:
        """Yield each session that is to be ended because nobody here holds it, once.

        Nobody has the token of a first attachment whose join was never answered; a later one's browser may come again within
        the reconnect grace.

        Args:
            held: whether somebody here has a session with that attachment, or is waiting for the registry's answer about it.
            grace_left: seconds of the grace that are left to who was lost at a monotonic time.
            now: in monotonic seconds.
        """
        for key, sessions in self._rooms.items():
            for session, state in sessions.items():
                if held(session, state.attachment):
                    state.missed_at = None
                elif state.missed_at is None:
                    state.missed_at = now
                elif not state.given_up and (state.attachment == 1 or grace_left(state.missed_at) <= 0):
                    state.given_up = True
                    yield Assigned(key, session, state.attachment)

    def _drop(self, key: RoomKey, session: str) -> None:
        sessions = self._rooms.get(key, {})
        sessions.pop(session, None)
        if not sessions:
            self._rooms.pop(key, None)

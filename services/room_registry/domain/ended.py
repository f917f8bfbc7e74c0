"""The sessions that have ended, for as long as somebody may come with one of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from services.room_registry.domain.memory import Counts, Memory
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason


@dataclass(frozen=True, slots=True)
class Ended:
    """How a session ended."""

    key: RoomKey
    reason: LeaveReason
    command: str
    """The id of the command that ended it."""
    correlation: str
    user: str | None = None
    """None: it never came in."""
    token: str | None = None
    """The digest of its token: only who shows that is told."""
    gateways: tuple[str, ...] = ()
    """Those that have to say that they let go of it."""


class EndedSessions:
    """Endings by session id.

    Args:
        memory: of them.
        reporting: how many of them each gateway has to say of that it let go.
        below: what this is a draft of; it is read, never written.
    """

    def __init__(self, memory: Memory[str, Ended], reporting: Counts[str], below: "EndedSessions | None" = None) -> None:
        self._memory = memory
        self._reporting = reporting
        self._below = below
        # By room, the sessions that a removal would bar, with their users.
        self._timed_out: dict[RoomKey, dict[str, str | None]] = {}

    def __len__(self) -> int:
        return len(self._memory)

    def get(self, session: str) -> Ended | None:
        """Return how a session ended."""
        return self._memory.get(session)

    def keep(self, session: str, ended: Ended, at: int) -> None:
        """Remember an ending from the message time ``at`` on; the first one of a session stays."""
        if not self._memory.keep(session, ended, at):
            return
        if ended.reason is LeaveReason.TIMED_OUT:
            self._timed_out.setdefault(ended.key, {})[session] = ended.user
        for gateway in ended.gateways:
            self._reporting.add(gateway, 1)

    def timed_out(self, key: RoomKey, users: Collection[str]) -> Mapping[str, str | None]:
        """Return the sessions of some users in a room that timed out, with their users; nobody named is everybody."""
        found = {} if self._below is None else dict(self._below.timed_out(key, users))
        found |= {session: user for session, user in self._timed_out.get(key, {}).items() if not users or user in users}
        return {session: user for session, user in found.items() if self._is_timed_out(session)}

    def bar(self, key: RoomKey, users: Collection[str], reason: LeaveReason, command: str, correlation: str) -> None:
        """Have the users' sessions that timed out count as ended by this command, for that reason."""
        for session in self.timed_out(key, users):
            ended = self._memory.get(session)
            assert ended is not None
            self._memory.change(session, replace(ended, reason=reason, command=command, correlation=correlation))
            self._drop(key, session)

    def items(self) -> list[tuple[str, int, Ended]]:
        """Return all endings by session, each with the message time that it is kept from, the oldest first. Not of a draft."""
        return self._memory.items()

    def gateways(self) -> Collection[str]:
        """Name the gateways that have to say that they let go of a session."""
        return self._reporting.keys()

    def forget(self, now: int) -> None:
        """Drop what is too old at message time ``now``."""
        for session, ended in self._memory.forget(now):
            self._drop(ended.key, session)
            for gateway in ended.gateways:
                self._reporting.add(gateway, -1)

    def draft(self) -> "EndedSessions":
        """Make a memory over this one, that can be thrown away."""
        return EndedSessions(self._memory.draft(), self._reporting.draft(), self)

    def _is_timed_out(self, session: str) -> bool:
        ended = self._memory.get(session)
        return ended is not None and ended.reason is LeaveReason.TIMED_OUT

    def _drop(self, key: RoomKey, session: str) -> None:
        sessions = self._timed_out.get(key, {})
        sessions.pop(session, None)
        if not sessions:
            self._timed_out.pop(key, None)

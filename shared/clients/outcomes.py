"""What the receipts of one command come to. Pure.

A session's *expected* gateways are those that held it: the one it was attached to, and former ones that had not let go of
it. Its media has stopped when each of them has reported that, or was declared lost. Its browser is told as soon as any
gateway says so, also one where it came to resume and was refused.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from shared.clients.gathering import Gathering
from shared.contracts.receipts import ReceiptState, SessionReceipt
from shared.contracts.replies import DismissReply, RemovedSession, RemoveReply

Reports = Mapping[str, SessionReceipt]
"""What is reported of one session, by gateway."""


class SessionOutcome(NamedTuple):
    """What became of one session, as far as it is certain."""

    user: str
    session: str
    gateway: str
    """Where it was attached; where no answer says that, the gateway that reported last."""
    seq: int | None
    """In its room; None where no answer says it."""
    state: ReceiptState
    media_stopped_at: int | None
    """The latest of its expected gateways'; None where one of them may not have reported, lost or not."""
    told_at: int | None


class Counts(NamedTuple):
    """How many sessions of a dismissal are in which state; together they are all."""

    confirmed: int
    fenced: int
    pending: int


def state_of(reports: Reports, expected: Collection[str], lost: Collection[str] = ()) -> ReceiptState:
    """Say what is certain of one session.

    Args:
        reports: of the session, by gateway.
        expected: the gateways that held it.
        lost: gateways that were declared lost: nothing leaves them any more.
    """
    if not expected or any(gateway not in lost and _stop(reports, gateway) is None for gateway in expected):
        return ReceiptState.PENDING
    return ReceiptState.FENCED if told_at(reports) is None else ReceiptState.CONFIRMED


def stopped_at(reports: Reports, expected: Collection[str]) -> int | None:
    """Say when the media of a session had stopped everywhere; None where one of the expected gateways has not reported it."""
    stops = [_stop(reports, gateway) for gateway in expected]
    known = [stop for stop in stops if stop is not None]
    return max(known) if known and len(known) == len(stops) else None


def told_at(reports: Reports) -> int | None:
    """Say when the browser was told first."""
    return min((report.told_at for report in reports.values() if report.told_at is not None), default=None)


class _Missing(NamedTuple):
    """What is not reported of a dismissal, whose answer has numbers only."""

    unheard: int
    """Sessions that no gateway has reported: each lacks a report at least."""
    owed: int
    """Reports that gateways have not made, and have to make."""
    lost: int
    """Reports that will never be made, by gateways that were lost: what they held has stopped."""

    @property
    def pending(self) -> int:
        """How many sessions lack a report that is owed, at most."""
        return max(self.owed, self._unheard_and_owed)

    @property
    def doubtful(self) -> int:
        """How many of those are among the sessions that some gateway has reported, at most."""
        return max(0, self.owed - self._unheard_and_owed)

    @property
    def untimed(self) -> bool:
        """Whether another gateway, lost or not, may have held a session that some gateway has reported."""
        return self.owed + self.lost > self.unheard

    @property
    def _unheard_and_owed(self) -> int:
        """How many of the unheard lack a report that is owed, at least: as many of the others as can be were on lost gateways."""
        return max(0, self.unheard - self.lost)


def counts_of(reply: DismissReply, gathering: Gathering, lost: Collection[str] = ()) -> Counts:
    """Count the sessions of a dismissal, whose answer says how many each gateway held, and not which.

    Each report that is owed is taken to be of another session, which is pending. Which ones those are is not known, so as many
    as may concern sessions that were reported elsewhere are taken from the confirmed ones. The others that nobody has
    reported were on lost gateways, and are fenced. No session counts as confirmed or fenced that is not; some may be better
    off than counted.
    """
    missing = _missing(reply, gathering, lost)
    pending = min(reply.sessions, missing.pending)
    told = sum(told_at(reports) is not None for reports in gathering.sessions.values() if _stopped_gateways(reports))
    confirmed = min(max(0, told - missing.doubtful), reply.sessions - pending)
    return Counts(confirmed, reply.sessions - pending - confirmed, pending)


def states_of(reply: RemoveReply | DismissReply, gathering: Gathering, lost: Collection[str] = ()) -> Mapping[ReceiptState, int]:
    """Count the sessions that a command has ended, by state."""
    if isinstance(reply, DismissReply):
        return dict(
            zip((ReceiptState.CONFIRMED, ReceiptState.FENCED, ReceiptState.PENDING), counts_of(reply, gathering, lost), strict=True)
        )
    return Counter(outcome.state for outcome in outcomes_of(reply, gathering, lost))


def any_pending(reply: RemoveReply | DismissReply, gathering: Gathering) -> bool:
    """Say whether a gateway's report is missing."""
    if isinstance(reply, DismissReply):
        return counts_of(reply, gathering).pending > 0
    return any(state_of(gathering.sessions.get(each.session, {}), _expected(each)) is ReceiptState.PENDING for each in reply.removed)


def all_confirmed(reply: RemoveReply | DismissReply, gathering: Gathering) -> bool:
    """Say whether there is nothing left to wait for."""
    if isinstance(reply, DismissReply):
        # Numbers first: this is asked at each of thousands of receipts.
        enough = gathering.told() >= reply.sessions and not _unreported(reply, gathering)
        return enough and counts_of(reply, gathering).confirmed == reply.sessions
    return all(state_of(gathering.sessions.get(each.session, {}), _expected(each)) is ReceiptState.CONFIRMED for each in reply.removed)


def outcomes_of(reply: RemoveReply | DismissReply | None, gathering: Gathering, lost: Collection[str] = ()) -> list[SessionOutcome]:
    """Say what became of each session that is known by name.

    A removal's answer names all. Of a dismissal those are named that were reported; as long as one of them may lack another
    gateway's report, all of them are pending. Where no answer is known any more, no other gateways are expected than those
    that reported.
    """
    if isinstance(reply, RemoveReply):
        return [_removed(each, gathering.sessions.get(each.session, {}), lost) for each in reply.removed]
    if reply is None:
        return [_reported(session, reports) for session, reports in gathering.sessions.items()]
    missing = _missing(reply, gathering, lost)
    # Who was told and stopped nowhere may be one that is pending. Or it had timed out before, heard of the dismissal when it
    # came back, and is none that this ended.
    told_only = missing.unheard > 0 and missing.pending > 0
    named = {session: reports for session, reports in gathering.sessions.items() if told_only or _stopped_gateways(reports)}
    return [
        _reported(session, reports, reply.seq, doubtful=missing.doubtful > 0, untimed=missing.untimed) for session, reports in named.items()
    ]


def _missing(reply: DismissReply, gathering: Gathering, lost: Collection[str]) -> _Missing:
    heard = sum(bool(_stopped_gateways(reports)) for reports in gathering.sessions.values())
    unreported = _unreported(reply, gathering)
    return _Missing(
        max(0, reply.sessions - heard),
        sum(number for gateway, number in unreported.items() if gateway not in lost),
        sum(number for gateway, number in unreported.items() if gateway in lost),
    )


def _unreported(reply: DismissReply, gathering: Gathering) -> dict[str, int]:
    """Return how many reports of a dismissal are missing, by gateway."""
    missing = {gateway: held - gathering.stopped(gateway) for gateway, held in reply.attachments.items()}
    return {gateway: number for gateway, number in missing.items() if number > 0}


def _removed(removed: RemovedSession, reports: Reports, lost: Collection[str]) -> SessionOutcome:
    expected = _expected(removed)
    return SessionOutcome(
        removed.user,
        removed.session,
        removed.gateway,
        removed.seq,
        state_of(reports, expected, lost),
        stopped_at(reports, expected),
        told_at(reports),
    )


def _reported(session: str, reports: Reports, seq: int | None = None, *, doubtful: bool = False, untimed: bool = False) -> SessionOutcome:
    stopped = _stopped_gateways(reports)
    gateway = max(stopped, key=lambda name: _stop(reports, name) or 0) if stopped else next(iter(reports))
    return SessionOutcome(
        reports[gateway].user,
        session,
        gateway,
        seq,
        ReceiptState.PENDING if doubtful else state_of(reports, stopped),
        None if untimed else stopped_at(reports, stopped),
        told_at(reports),
    )


def _expected(removed: RemovedSession) -> set[str]:
    return {removed.gateway, *removed.former}


def _stopped_gateways(reports: Reports) -> list[str]:
    return [gateway for gateway, report in reports.items() if report.media_stopped_at is not None]


def _stop(reports: Reports, gateway: str) -> int | None:
    report = reports.get(gateway)
    return None if report is None else report.media_stopped_at

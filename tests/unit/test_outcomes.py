"""What receipts come to: the rule, and the counts where there are only numbers."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clients.gathering import Gathering
from shared.clients.outcomes import Counts, all_confirmed, any_pending, counts_of, outcomes_of, state_of, stopped_at, told_at
from shared.contracts.receipts import Receipt, SessionReceipt
from shared.contracts.replies import DismissReply, RemovedSession, RemoveReply

NOW, BEFORE, FOREIGN = (f"gw{number}_0123456789abcdef" for number in range(3))


def name(number):
    return f"{number:032x}"


def report(number, stopped=None, told=None):
    return SessionReceipt(session=name(number), user=f"u{number}", media_stopped_at=stopped, told_at=told)


def gathered(*reports):
    """Take reports as pairs of a gateway and what it says of one session."""
    gathering = Gathering()
    for gateway, receipt in reports:
        gathering.add(Receipt(app=1, command="c", gateway=gateway, sessions=(receipt,)))
    return gathering


def removal(*former):
    removed = RemovedSession(user="u1", session=name(1), gateway=NOW, seq=7, former=former)
    return RemoveReply(removed=(removed,), not_found=())


def dismissal(*held):
    """Answer a dismissal of sessions that were held by these gateways."""
    attachments = Counter(gateway for gateways in held for gateway in gateways)
    return DismissReply(incarnation="1.1", seq=9, sessions=len(held), attachments=dict(attachments))


@pytest.mark.parametrize(
    ("reports", "expected", "lost", "state"),
    [
        ({}, {NOW}, (), "pending"),
        ({NOW: (3, None)}, {NOW}, (), "fenced"),
        ({NOW: (3, 5)}, {NOW}, (), "confirmed"),
        ({NOW: (3, 5)}, {NOW, BEFORE}, (), "pending"),
        ({NOW: (3, 5), BEFORE: (4, None)}, {NOW, BEFORE}, (), "confirmed"),
        ({NOW: (3, None), BEFORE: (4, None)}, {NOW, BEFORE}, (), "fenced"),
        ({NOW: (3, None), FOREIGN: (None, 6)}, {NOW}, (), "confirmed"),
        ({FOREIGN: (None, 6)}, {NOW}, (), "pending"),
        ({NOW: (None, 6)}, {NOW}, (), "pending"),
        ({FOREIGN: (3, 6)}, {NOW}, (), "pending"),
        ({}, {NOW}, {NOW}, "fenced"),
        ({FOREIGN: (None, 6)}, {NOW}, {NOW}, "confirmed"),
        ({NOW: (3, 5)}, {NOW, BEFORE}, {BEFORE}, "confirmed"),
        ({NOW: (3, 5)}, {NOW, BEFORE}, {FOREIGN}, "pending"),
        ({NOW: (3, 5)}, set(), (), "pending"),
    ],
)
def test_a_session_is_confirmed_when_every_gateway_that_held_it_has_stopped_and_any_has_told(reports, expected, lost, state):
    """A gateway that was lost has stopped; one that never held the session stops nothing, but may have told."""
    assert state_of({gateway: report(1, *times) for gateway, times in reports.items()}, expected, lost) == state


def test_media_has_stopped_when_the_last_one_has_stopped():
    """And nobody says when, as long as one of them has not said it."""
    reports = {NOW: report(1, 3), BEFORE: report(1, 4), FOREIGN: report(1, 9)}
    assert stopped_at(reports, {NOW, BEFORE}) == 4
    assert stopped_at({NOW: report(1, 3)}, {NOW, BEFORE}) is None
    assert stopped_at({}, set()) is None


def test_the_first_telling_is_the_telling():
    """The application hears it once; what is told later was dropped."""
    assert told_at({NOW: report(1, 3, 8), FOREIGN: report(1, None, 6)}) == 6
    assert told_at({NOW: report(1, 3)}) is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_receipts_may_come_in_any_order_and_twice(order):
    """That a browser was told is never taken back, and the later stop counts."""
    reports = [(NOW, report(1, 3)), (NOW, report(1, 3, 8)), (NOW, report(1, 5)), (NOW, report(1, None))]
    gathering = gathered(*(reports[number] for number in order))
    assert gathering.sessions == {name(1): {NOW: report(1, 5, 8)}}
    assert (gathering.told(), gathering.stopped(), gathering.stopped(NOW), gathering.stopped(BEFORE)) == (1, 1, 1, 0)


def test_a_removal_names_all_heard_of_or_not():
    """With what the answer knows of each, and what its gateways have reported."""
    pending = ("u1", name(1), NOW, 7, "pending", None, None)
    assert outcomes_of(removal(BEFORE), gathered()) == [pending]
    assert outcomes_of(removal(BEFORE), gathered((NOW, report(1, 3, 5)))) == [(*pending[:6], 5)]
    both = gathered((NOW, report(1, 3, 5)), (BEFORE, report(1, 4)))
    assert outcomes_of(removal(BEFORE), both) == [("u1", name(1), NOW, 7, "confirmed", 4, 5)]
    assert outcomes_of(removal(BEFORE), gathered((NOW, report(1, 3))), {BEFORE}) == [("u1", name(1), NOW, 7, "fenced", None, None)]


def test_without_an_answer_the_receipts_are_all_there_is():
    """The last gateway that stopped stands for the session; one that was only told somewhere is pending."""
    gathering = gathered((NOW, report(1, 3)), (BEFORE, report(1, 4, 5)), (FOREIGN, report(2, None, 6)))
    assert outcomes_of(None, gathering) == [
        ("u1", name(1), BEFORE, None, "confirmed", 4, 5),
        ("u2", name(2), FOREIGN, None, "pending", None, 6),
    ]


@pytest.mark.parametrize(
    ("held", "reports", "counts"),
    [
        ([{NOW}, {NOW}, {NOW}], [], (0, 0, 3)),
        ([{NOW}, {NOW}, {NOW}], [(NOW, 1, 5), (NOW, 2, None)], (1, 1, 1)),
        ([{NOW, BEFORE}, {NOW}], [(NOW, 1, 5), (NOW, 2, 5)], (1, 0, 1)),
        ([{NOW, BEFORE}, {NOW}], [(NOW, 1, 5), (NOW, 2, None)], (0, 1, 1)),
        ([{NOW, BEFORE}, {NOW}], [(NOW, 1, 5), (BEFORE, 1, None)], (1, 0, 1)),
        ([{NOW, BEFORE}, {NOW}], [(NOW, 1, 5), (BEFORE, 1, None), (NOW, 2, 5)], (2, 0, 0)),
        ([{NOW, BEFORE}, {NOW, BEFORE}], [(NOW, 1, None)], (0, 0, 2)),
        ([], [], (0, 0, 0)),
        ([{NOW}], [(NOW, 1, 5), (NOW, 2, 5)], (1, 0, 0)),
        ([{NOW}, {NOW}], [(NOW, 1, 5), (BEFORE, 1, None)], (1, 0, 1)),
        ([{NOW}, {BEFORE}], [(NOW, 1, 5), (NOW, 2, 5)], (1, 0, 1)),
    ],
)
def test_a_dismissal_counts_what_is_missing_as_pending(held, reports, counts):
    """A missing report may be of a session that another gateway has reported; no gateway reports for another."""
    gathering = gathered(*((gateway, report(number, 3, told)) for gateway, number, told in reports))
    assert counts_of(dismissal(*held), gathering) == counts
    assert any_pending(dismissal(*held), gathering) == (counts[2] > 0)


@pytest.mark.parametrize(
    ("held", "reports", "lost", "counts"),
    [
        ([{NOW}, {BEFORE}], [(NOW, 1, 5)], {BEFORE}, (1, 1, 0)),
        ([{NOW}, {BEFORE}], [(NOW, 1, 5)], {FOREIGN}, (1, 0, 1)),
        ([{NOW}, {BEFORE}], [], {BEFORE}, (0, 1, 1)),
        ([{NOW}, {BEFORE}], [], {NOW, BEFORE}, (0, 2, 0)),
        ([{NOW, BEFORE}, {NOW}], [(NOW, 1, 5), (NOW, 2, 5)], {BEFORE}, (2, 0, 0)),
        ([{NOW, BEFORE}, {NOW}], [(NOW, 2, 5)], {BEFORE}, (0, 1, 1)),
        ([{NOW, BEFORE}, {BEFORE}], [(NOW, 1, 5)], {BEFORE}, (1, 1, 0)),
        ([{NOW, BEFORE}, {BEFORE}], [(BEFORE, 1, 5)], {BEFORE}, (0, 1, 1)),
        ([{NOW, BEFORE, FOREIGN}, {BEFORE}], [(NOW, 1, 5)], {BEFORE}, (0, 1, 1)),
    ],
)
def test_what_a_lost_gateway_has_not_reported_has_stopped(held, reports, lost, counts):
    """Of who was held by lost gateways only nobody says more; of the others, what the gateways say that live."""
    gathering = gathered(*((gateway, report(number, 3, told)) for gateway, number, told in reports))
    assert counts_of(dismissal(*held), gathering, lost) == counts


def test_a_dismissal_names_as_pending_whom_another_report_may_concern():
    """Until the numbers say that none of those named lacks one."""
    reply = dismissal({NOW, BEFORE}, {NOW})
    reports = [(NOW, report(1, 3, 5)), (NOW, report(2, 3, 5))]
    assert [each.state for each in outcomes_of(reply, gathered(*reports))] == ["pending", "pending"]
    whole = gathered(*reports, (BEFORE, report(1, 8)))
    assert [(each.state, each.gateway, each.media_stopped_at, each.seq) for each in outcomes_of(reply, whole)] == [
        ("confirmed", BEFORE, 8, 9),
        ("confirmed", NOW, 3, 9),
    ]


def test_a_dismissal_names_as_stopped_whom_a_lost_gateway_may_have_held():
    """Nobody says when that was. Whom no other gateway held is not named, and the others have their times."""
    reports = gathered((NOW, report(1, 3, 5)))
    for held, time in (([{NOW, BEFORE}, {BEFORE}], None), ([{NOW}, {BEFORE}], 3)):
        assert [(each.user, each.state, each.media_stopped_at) for each in outcomes_of(dismissal(*held), reports, {BEFORE})] == [
            ("u1", "confirmed", time)
        ]


def test_a_session_that_had_timed_out_before_is_none_of_a_dismissals():
    """Its browser hears of the dismissal when it comes back: no gateway held it, and none stops anything for it."""
    early = gathered((FOREIGN, report(2, None, 6)))
    assert [(each.user, each.state) for each in outcomes_of(dismissal({NOW}), early)] == [("u2", "pending")]
    assert outcomes_of(dismissal({NOW}), early, {NOW}) == []
    assert counts_of(dismissal({NOW}), early, {NOW}) == (0, 1, 0)
    fenced = gathered((NOW, report(1, 3)), (FOREIGN, report(2, None, 6)))
    assert [(each.user, each.state) for each in outcomes_of(dismissal({NOW}), fenced)] == [("u1", "fenced")]
    assert counts_of(dismissal({NOW}), fenced) == (0, 1, 0)
    assert not all_confirmed(dismissal({NOW}), fenced)


GATEWAYS = [NOW, BEFORE, FOREIGN]


@st.composite
def dismissals(draw):
    """Sessions, each with the gateways that held it; those that have reported; where browsers were told, some of nobody's; who is lost."""
    held = draw(st.lists(st.sets(st.sampled_from(GATEWAYS), min_size=1), min_size=1, max_size=6))
    reported = [draw(st.sets(st.sampled_from(sorted(gateways)))) for gateways in held]
    told = draw(st.lists(st.none() | st.sampled_from(GATEWAYS), min_size=len(held), max_size=len(held) + 2))
    return held, reported, told, draw(st.sets(st.sampled_from(GATEWAYS)))


@given(dismissals())
def test_a_dismissal_never_counts_or_names_a_session_as_better_off_than_it_is(case):
    """The counts are bounds: what is certain of all is at least what they say. Where no report is owed, they are the truth."""
    held, reported, told, lost = case
    gathering = gathered(
        *((gateway, report(number, 3 + GATEWAYS.index(gateway))) for number, gateways in enumerate(reported) for gateway in gateways),
        *((gateway, report(number, None, 9)) for number, gateway in enumerate(told) if gateway),
    )
    reply = dismissal(*held)
    reports = [gathering.sessions.get(name(number), {}) for number in range(len(held))]
    true = [state_of(each, gateways, lost) for each, gateways in zip(reports, held, strict=True)]
    counts = counts_of(reply, gathering, lost)
    assert min(counts) >= 0
    assert sum(counts) == len(held)
    assert counts.confirmed <= true.count("confirmed")
    assert counts.pending >= true.count("pending")
    rank = ["pending", "fenced", "confirmed"]
    for outcome in outcomes_of(reply, gathering, lost):
        number = int(outcome.session, 16)
        assert rank.index(outcome.state) <= (rank.index(true[number]) if number < len(held) else 0)
        assert outcome.media_stopped_at in (None, stopped_at(reports[number], held[number]) if number < len(held) else None)
    if "pending" not in true:
        # Who was held by lost gateways only may have been told, and cannot be told apart from who had timed out before.
        certain = [state for state, gateways in zip(true, reported, strict=True) if gateways]
        assert counts == Counts(certain.count("confirmed"), len(held) - certain.count("confirmed"), 0)
    alone = [state_of(each, gateways) for each, gateways in zip(reports, held, strict=True)]
    assert all_confirmed(reply, gathering) == (set(alone) == {"confirmed"})
    assert any_pending(reply, gathering) == ("pending" in alone)


@pytest.mark.parametrize(
    ("reports", "complete"),
    [
        ([], False),
        ([(NOW, report(1, 3, 5))], False),
        ([(NOW, report(1, 3, 5)), (BEFORE, report(1, 4))], True),
        ([(NOW, report(1, 3)), (BEFORE, report(1, 4))], False),
    ],
)
def test_a_removal_is_waited_for_until_all_is_confirmed(reports, complete):
    """At every gateway that held the session."""
    assert all_confirmed(removal(BEFORE), gathered(*reports)) is complete

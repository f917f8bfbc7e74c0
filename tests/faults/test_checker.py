"""The checker finds what it is for: a clean history passes, and one violation each is found. No service runs here."""

import ast
import sys
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.history import History, Stored

ROOM, APP = "n1", 1400000001
ANN, BOB, NEW = "a" * 32, "b" * 32, "c" * 32
GATEWAY = "edge-1_" + "0" * 16


class Story:
    """Writes a history: message by message, line by line, a second apart."""

    def __init__(self):
        self.history = History([], settings={"isolation_grace": 3.0})
        self.now = 1000.0
        self.seq = 0
        self.wrong = None

    def commit(self, *facts, command=None, room=ROOM, **more):
        self.now += 1
        number = len(self.history.stream) + 1
        body = {"command": command or f"command-{number}", "correlation": "x", "at": int(self.now * 1000), "facts": list(facts), **more}
        self.history.stream.append(Stored(number, self.now, f"stagedoor.v1.evt.0.{APP}.{room}.join", body))

    def fact(self, kind, incarnation="1.0", **fields):
        self.seq += 1
        return {"kind": kind, "incarnation": incarnation, "seq": self.seq, **fields}

    def joined(self, session, user="ann", role="anchor", **more):
        return self.fact("joined", session=session, user=user, role=role, gateway=GATEWAY, **more)

    def left(self, session, reason="left", user="ann", **more):
        end = {"session": session, "user": user, "role": "anchor", "gateway": GATEWAY}
        return self.fact("left", reason=reason, sessions=[end], **more)

    def log(self, what, later=0.5, **fields):
        self.history.log.append({"what": what, "wall": self.now + later, "client": "c1", **fields})

    def receipt(self, command, session, *, stopped=None, told=None):
        report = {"session": session, "user": "ann"}
        if stopped is not None:
            report["media_stopped_at"] = int(stopped * 1000)
        if told is not None:
            report["told_at"] = int(told * 1000)
        body = {"app": APP, "command": command, "gateway": GATEWAY, "sessions": [report]}
        number = len(self.history.receipts) + 1
        self.history.receipts.append(Stored(number, self.now, f"stagedoor.v1.rcpt.{APP}.{command}.{GATEWAY}", body))

    def operation(self, command, *, outcome="done", removed=(), not_found=(), **more):
        self.log("operation", command=command, action="remove", outcome=outcome, removed=list(removed), not_found=list(not_found), **more)

    def kicked(self, *, told=True, acked=True):
        """Tell the story of ann: in, resumed, removed with a receipt, told."""
        self.commit(self.joined(ANN))
        self.log("joined", session=ANN, attachment=1, peers=[])
        self.commit(self.fact("attached", session=ANN, user="ann", role="anchor", gateway=GATEWAY, attachment=2))
        self.log("resumed", session=ANN, attachment=2, since=self.now, peers=[])
        self.log("packets", session=ANN, source=BOB, gateway="edge-1", first=self.now, last=self.now + 1, count=50)
        self.commit(self.left(ANN, "removed"), command="kick", remembered={"digest": "x", "answer": {}})
        self.log("ended", session=ANN, reason="removed", socket=1)
        if told:
            self.log("told", session=ANN, reason="removed")
        if acked:
            self.log("acking", session=ANN)
        self.receipt("kick", ANN, stopped=self.now + 0.1, told=self.now + 0.6)
        self.operation("kick", removed=[ANN], not_found=["nobody"], confirmed=[ANN])
        self.operation("kick", removed=[ANN], not_found=["nobody"], confirmed=[ANN])
        self.operation("kick", outcome="command_reused", other=True)
        self.log("refused", request="resume", session=ANN, code="session_ended", reason="removed", since=self.now + 0.1)


@pytest.fixture
def story():
    return Story()


def promises(story):
    return sorted({violation.promise for violation in check(story.history)})


def test_a_clean_history_has_no_violations(story):
    """Replacement, resume, removal with receipt, repetition, dismissal, another life of the room."""
    story.kicked()
    story.seq = 0
    story.commit(story.joined(BOB, "bob", incarnation="1.1"), story.joined(NEW, incarnation="1.1"))
    story.log("joined", session=BOB, attachment=1, peers=[])
    story.log("heard", session=BOB, kind="peer_joined", peer=NEW)
    story.log("peers", later=10, session=BOB, room=f"{APP}.{ROOM}", peers=[NEW])
    story.now += 20
    story.commit(story.fact("role_switched", "1.1", session=NEW, user="ann", role="audience"))
    story.log("switched", session=NEW, role="audience")
    story.commit(story.fact("dissolved", "1.1"), command="end")
    story.log("ended", session=BOB, reason="dismissed", socket=1)
    story.log("told", session=BOB, reason="dismissed")
    assert check(story.history) == []


def test_a_time_out_that_a_removal_came_after_is_heard_as_a_removal(story):
    """A removal bars those of its users who had timed out."""
    story.commit(story.joined(ANN))
    story.log("joined", session=ANN, attachment=1, peers=[])
    story.commit(story.left(ANN, "timed_out"))
    story.log("refused", request="resume", session=ANN, code="session_ended", reason="timed_out", since=story.now)
    story.commit({"kind": "users_barred", "users": ["ann"], "reason": "removed"})
    story.log("refused", request="resume", session=ANN, code="session_ended", reason="removed", since=story.now + 0.1)
    assert check(story.history) == []
    story.log("refused", request="resume", session=ANN, code="session_ended", reason="timed_out", since=story.now + 0.1)
    assert promises(story) == ["P5"]


def test_an_id_whose_first_command_never_arrived_is_free(story):
    """What was never carried out cannot be repeated with another content."""
    story.operation("lost", outcome="unavailable")
    story.operation("lost", not_found=["nobody"], other=True)
    assert check(story.history) == []


def two_anchors(story):
    story.commit(story.joined(ANN), story.joined(NEW))
    story.commit(story.left(ANN), story.left(NEW))


def switched_beside_another(story):
    story.commit(story.joined(ANN), story.joined(NEW, role="audience"))
    story.commit(story.fact("role_switched", session=NEW, user="ann", role="anchor"))
    story.commit(story.left(ANN), story.left(NEW))


def never_ended(story):
    story.commit(story.joined(ANN))


def ended_twice(story):
    story.commit(story.joined(ANN), story.joined(BOB, "bob"))
    story.commit(story.left(ANN))
    story.commit(story.left(ANN))
    story.commit(story.left(BOB, user="bob"))


def a_gap(story):
    story.commit(story.joined(ANN))
    story.seq += 1
    story.commit(story.left(ANN))


def a_life_again(story):
    story.commit(story.joined(ANN))
    story.commit(story.left(ANN))
    story.seq = 0
    story.commit(story.joined(NEW))
    story.commit(story.left(NEW))


def came_in_twice(story):
    story.commit(story.joined(ANN))
    story.commit(story.left(ANN))
    story.seq = 0
    story.commit(story.joined(ANN, incarnation="1.1"))
    story.commit(story.left(ANN, incarnation="1.1"))


def attached_after_the_end(story):
    story.commit(story.joined(ANN), story.joined(BOB, "bob"))
    story.commit(story.left(ANN))
    story.commit(story.fact("attached", session=ANN, user="ann", role="anchor", gateway=GATEWAY, attachment=2))
    story.commit(story.left(BOB, user="bob"))


def given_to_a_lost_gateway(story):
    story.commit({"kind": "gateway_lost", "gateway": GATEWAY}, room="_")
    story.commit(story.joined(ANN))
    story.commit(story.left(ANN))


def peer_missed(story):
    story.commit(story.joined(BOB, "bob"))
    story.log("joined", session=BOB, attachment=1, peers=[])
    story.commit(story.joined(ANN))
    story.log("peers", later=10, session=BOB, room=f"{APP}.{ROOM}", peers=[])
    story.now += 20
    story.commit(story.left(ANN), story.left(BOB, user="bob"))


def peer_heard_backwards(story):
    story.commit(story.joined(BOB, "bob"))
    story.log("joined", session=BOB, attachment=1, peers=[])
    story.commit(story.joined(ANN))
    story.commit(story.left(ANN))
    story.log("heard", session=BOB, kind="peer_left", peer=ANN)
    story.log("heard", session=BOB, kind="peer_joined", peer=ANN)
    story.commit(story.left(BOB, user="bob"))


def join_lost(story):
    story.log("joined", session=ANN, attachment=1, peers=[])


def removal_lost(story):
    story.operation("kick", removed=[ANN])


def removal_missed_somebody(story):
    story.commit(story.joined(ANN))
    story.commit(command="kick")
    story.operation("kick", not_found=["ann"])
    story.commit(story.left(ANN))


def told_twice(story):
    story.kicked()
    story.log("told", session=ANN, reason="removed")


def never_told(story):
    story.kicked(told=False)


def told_before_the_commit(story):
    story.commit(story.joined(ANN))
    story.log("ended", session=ANN, reason="removed", socket=1)
    story.commit(story.left(ANN, "removed"))


def told_without_acknowledgement(story):
    story.kicked(acked=False)
    story.history.log = [entry for entry in story.history.log if entry["what"] not in ("refused", "operation")]


def confirmed_too_early(story):
    story.kicked()
    story.receipt("kick", ANN, told=story.now - 0.5)


def resumed_after_the_end(story):
    story.kicked()
    story.log("resumed", later=2, session=ANN, attachment=2, since=story.now + 1, peers=[])


def refused_with_another_reason(story):
    story.kicked()
    story.log("refused", request="resume", session=ANN, code="session_ended", reason="timed_out", since=story.now)


def forgotten(story):
    story.kicked()
    story.log("refused", request="resume", session=ANN, code="session_unknown", since=story.now)


def media_beyond_the_grace(story):
    story.kicked()
    story.log("packets", session=ANN, source=BOB, gateway="edge-2", first=story.now, last=story.now + 4, count=50)


def media_while_cut_off(story):
    story.log("fault", later=20, kind="cut", target="edge-1", began=story.now)
    story.log("packets", session=ANN, source=BOB, gateway="edge-1", first=story.now, last=story.now + 4, count=50)


def two_answers(story):
    story.kicked()
    story.operation("kick", not_found=["ann", "nobody"])


def another_content(story):
    story.kicked()
    story.operation("kick", removed=[BOB], other=True)


def done_twice(story):
    story.kicked()
    story.commit(command="kick", remembered={"digest": "x", "answer": {}})


def a_late_packet(story):
    story.kicked()
    story.log("packets", session=BOB, source=ANN, gateway="edge-1", first=story.now, last=story.now + 0.15, count=1)


@pytest.mark.parametrize(
    ("tell", "promise"),
    [
        (two_anchors, "P1"),
        (switched_beside_another, "P1"),
        (never_ended, "P2"),
        (ended_twice, "P2"),
        (a_gap, "P3"),
        (a_life_again, "P3"),
        (peer_missed, "P3"),
        (peer_heard_backwards, "P3"),
        (join_lost, "P4"),
        (removal_lost, "P4"),
        (removal_missed_somebody, "P4"),
        (told_twice, "P4"),
        (never_told, "P4"),
        (told_before_the_commit, "P4"),
        (told_without_acknowledgement, "P4"),
        (confirmed_too_early, "P4"),
        (came_in_twice, "P5"),
        (attached_after_the_end, "P5"),
        (given_to_a_lost_gateway, "P5"),
        (resumed_after_the_end, "P5"),
        (refused_with_another_reason, "P5"),
        (forgotten, "P5"),
        (media_beyond_the_grace, "P5"),
        (media_while_cut_off, "P5"),
        (two_answers, "P6"),
        (another_content, "P6"),
        (done_twice, "P6"),
        (a_late_packet, "P7"),
    ],
)
def test_each_violation_is_found(story, tell, promise):
    """One at a time, under the name of its promise, with the lines that show it."""
    tell(story)
    assert promise in promises(story)
    assert all(violation.evidence for violation in check(story.history) if violation.promise == promise)


@pytest.mark.parametrize("module", ["checker.py", "history.py"])
def test_the_checker_is_independent(module):
    """It imports the standard library, and its own history."""
    tree = ast.parse((Path(__file__).parent / module).read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names} <= {"tests.faults.history"}

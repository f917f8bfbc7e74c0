"""The independent checker: what the promises say, held against what a run has left behind.

It imports nothing of the project. Each rule names the promise that it guards; docs are the design's P1 to P7:

    P1 one anchor · P2 paired · P3 ordered · P4 receipted · P5 fenced · P6 idempotent · P7 silent after
"""

import json
from collections import Counter, defaultdict

from tests.faults.history import BANNED, Timeline

CLOCK = 0.003
"""Receipts are in whole milliseconds, and so are the server's and the kernel's stamps as they are compared here."""
SLACK = 0.5
"""A cut takes hold of what is under way a moment later."""
QUIET = 3.0
"""A view is compared with the stream where the room did not change for so long: a gateway makes a round each second."""


def check(history):
    """Return every violation, those of the stream itself first."""
    timeline = Timeline(history)
    for rule in (_paired, _answers, _notices, _receipts, _resumes, _views, _heard_in_order, _repeats, _silence, _isolation):
        rule(history, timeline)
    return timeline.violations


def _entries(history, *whats):
    return [entry for entry in history.log if entry["what"] in whats]


def _by_session(history, *whats):
    found = defaultdict(list)
    for entry in _entries(history, *whats):
        found[entry["session"]].append(entry)
    return found


def _paired(_history, timeline):
    """P2: when all is over, nobody is left behind."""
    for stay in timeline.stays.values():
        if stay.end is None:
            timeline.violate("P2", f"session {stay.session} of {stay.user} in {stay.room} never ended", stay.session)


def _answers(history, timeline):
    """P4: what was acknowledged is in the stream, and is what the answer says."""
    for entry in _entries(history, "joined", "resumed", "left", "switched"):
        session, stay = entry["session"], timeline.stays.get(entry["session"])
        if stay is None:
            timeline.violate("P4", f"the client was told that session {session} is in ({entry['what']}); the stream has no joined", session)
        elif entry["what"] == "resumed" and entry["attachment"] not in [number for number, _ in stay.attachments]:
            timeline.violate("P4", f"session {session} was resumed as attachment {entry['attachment']}; the stream has none", session)
        elif entry["what"] == "left" and stay.end is None:
            timeline.violate("P4", f"session {session} was told that it has left; the stream has no ending", session)
        elif entry["what"] == "switched" and entry["role"] not in stay.roles:
            timeline.violate("P4", f"session {session} was told that it is {entry['role']} now; the stream never says so", session)
    for entry in _entries(history, "operation"):
        if entry["outcome"] == "done" and not entry.get("other"):
            _operation(timeline, entry)


def _operation(timeline, entry):
    command, messages = entry["command"], timeline.by_command.get(entry["command"], [])
    if not messages:
        timeline.violate("P4", f"{entry['action']} {command} was answered, and the stream has nothing of it", command)
        return
    facts = [fact for message in messages for fact in message.body.get("facts", [])]
    if entry["action"] == "dismiss":
        if not any(fact["kind"] == "dissolved" for fact in facts):
            timeline.violate("P4", f"the dismissal {command} was answered, and the stream has no dissolved", command)
        return
    ended = {end["session"] for fact in facts if fact["kind"] == "left" for end in fact["sessions"]}
    if ended != set(entry["removed"]):
        text = f"the removal {command} was answered with {sorted(entry['removed'])}; the stream ended {sorted(ended)}"
        timeline.violate("P4", text, command)
    missed = set(entry["not_found"]) & timeline.present[messages[0].seq]
    if missed:
        timeline.violate("P4", f"the removal {command} did not find {sorted(missed)}, who were there", command, messages[0].room)


def _reasons(timeline, stay, wall=float("inf")):
    """Return what a session may have been told of its end by then: how it ended, or what a later removal made of a time-out."""
    if stay.end is None or stay.end.at > wall + CLOCK:
        return set()
    reasons = {stay.reason}
    if stay.reason == "timed_out":
        for message, fact in timeline.bars:
            named = not fact.get("users") or stay.user in fact["users"]
            if named and message.room == stay.room and message.seq > stay.end.seq and message.at <= wall + CLOCK:
                reasons.add(fact["reason"])
    return reasons


def _notices(history, timeline):
    """P4: heard at most once, exactly once by who can be reached, never before the commit, never of what is not in the stream."""
    for entry in _entries(history, "stuck"):
        text = f"session {entry['session']} could not be resumed, and was not told that it ended, though everything was up"
        timeline.violate("P4", text, entry["session"])
    told, known = _by_session(history, "told"), _by_session(history, "joined")
    excused = {entry["session"] for entry in _entries(history, "leaving", "gone")}
    for entry in _entries(history, "told", "ended"):
        session, stay = entry["session"], timeline.stays.get(entry["session"])
        if entry.get("by") == "anchor_taken":
            continue
        reasons = set() if stay is None else _reasons(timeline, stay, entry["wall"])
        if entry["reason"] not in reasons:
            text = f"session {session} heard {entry['reason']}; committed by then: {', '.join(sorted(reasons)) or 'no ending'}"
            timeline.violate("P4", text, session)
    for session, entries in told.items():
        if len(entries) > 1:
            timeline.violate("P4", f"session {session}: the application heard {len(entries)} endings", session)
    frames = Counter((entry["session"], entry["socket"]) for entry in _entries(history, "ended"))
    for (session, socket), count in frames.items():
        if count > 1:
            timeline.violate("P4", f"session {session} was sent {count} endings over socket {socket}", session)
    for session, stay in timeline.stays.items():
        if stay.reason in BANNED and session in known and session not in excused and session not in told:
            text = f"session {session} of {stay.user} ended ({stay.reason}), and its application, within reach, never heard"
            timeline.violate("P4", text, session)


def _receipts(history, timeline):
    """P4: a receipt is of an ending in the stream; told means acknowledged, and not before the commit."""
    acked = {entry["session"] for entry in _entries(history, "acking")}
    for entry in _entries(history, "refused"):
        if entry["request"] == "resume" and entry.get("reason") in BANNED:
            acked.add(entry["session"])
    for message in history.receipts:
        command = message.body["command"]
        for report in message.body["sessions"]:
            session, stay = report["session"], timeline.stays.get(report["session"])
            causes = [] if stay is None or stay.end is None else [stay.end, *(bar for bar, _ in timeline.bars if bar.room == stay.room)]
            cause = next((cause for cause in causes if cause.body["command"] == command), None)
            if cause is None:
                timeline.violate("P4", f"a receipt of {command} names session {session}, which it did not end", session)
                continue
            told_at = report.get("told_at")
            if told_at is not None and session not in acked:
                timeline.violate("P4", f"a receipt says that session {session} was told; its client acknowledged nothing", session)
            if told_at is not None and told_at / 1000 < cause.at - CLOCK:
                timeline.violate("P4", f"session {session} was told before its ending was committed", session)
    for entry in _entries(history, "operation"):
        for session in entry.get("confirmed", ()):
            if session not in acked:
                timeline.violate("P4", f"{entry['action']} answered that session {session} is confirmed; it acknowledged nothing", session)


def _resumes(history, timeline):
    """P5: after its ending a session is refused, with that reason, whoever asks; and it is not refused before."""
    for entry in _entries(history, "resumed"):
        stay = timeline.stays.get(entry["session"])
        if stay is not None and stay.end is not None and stay.end.at < entry["since"] - CLOCK:
            timeline.violate("P5", f"session {stay.session} was resumed after it had ended ({stay.reason})", stay.session)
    for entry in _entries(history, "refused"):
        if entry["request"] != "resume":
            continue
        session, stay = entry["session"], timeline.stays.get(entry["session"])
        if entry["code"] == "session_ended" and (stay is None or entry.get("reason") not in _reasons(timeline, stay, entry["wall"])):
            timeline.violate("P5", f"session {session} was refused as {entry.get('reason')}, which it was not by then", session)
        if entry["code"] == "session_ended" and stay is not None and entry.get("reason") == "timed_out":
            barred = _reasons(timeline, stay, entry["since"] - CLOCK) - {"timed_out"}
            if barred:
                timeline.violate("P5", f"session {session} was refused as timed_out, after it had been {barred}", session)
        if entry["code"] == "session_unknown" and stay is not None:
            timeline.violate("P5", f"session {session} is in the stream, and was refused as unknown", session)


def _views(history, timeline):
    """P3: where nothing changes any more, a client knows what the stream says."""
    for entry in _entries(history, "peers"):
        session, wall = entry["session"], entry["wall"]
        anchors, before, after = timeline.anchors_at(entry["room"], wall)
        stay = timeline.stays.get(session)
        settled = wall - before > QUIET and after - wall > SLACK and (stay is None or stay.end is None or stay.end.at > wall)
        if settled and set(entry["peers"]) != anchors - {session}:
            missing, ghosts = sorted(anchors - {session} - set(entry["peers"])), sorted(set(entry["peers"]) - anchors)
            timeline.violate("P3", f"session {session} does not know {missing} and believes in {ghosts}", session, *missing, *ghosts)


def _heard_in_order(history, timeline):
    """P3: of the others a client hears what the stream says, in its order, once each."""
    facts = _visible_facts(history)
    position = {}
    for entry in _entries(history, "joined", "resumed", "heard"):
        client = entry["client"], entry["session"]
        if entry["what"] != "heard":
            position[client] = 0
            continue
        kind, peer = entry["kind"], entry["peer"]
        at = next((seq for seq in facts[kind, peer] if seq > position.get(client, 0)), None)
        if at is None:
            text = f"session {entry['session']} heard {kind} of {peer} after what the stream has at #{position.get(client, 0)}"
            timeline.violate("P3", text, entry["session"], peer)
        else:
            position[client] = at


def _visible_facts(history):
    """Return, by what a client hears and of whom, the place of each such fact in the stream."""
    facts, dissolvable = defaultdict(list), defaultdict(set)
    for message in history.stream:
        for number, fact in enumerate(message.body.get("facts", [])):
            place = message.seq + number / 10_000
            if fact["kind"] in ("joined", "role_switched"):
                facts["peer_joined" if fact["role"] == "anchor" else "peer_left", fact["session"]].append(place)
                dissolvable[message.room].add(fact["session"])
            elif fact["kind"] == "left":
                for index, end in enumerate(fact["sessions"]):
                    facts["peer_left", end["session"]].append(place + index / 10_000_000)
            elif fact["kind"] == "dissolved":
                for session in dissolvable.pop(message.room, ()):
                    facts["peer_left", session].append(place)
    return facts


def _repeats(history, timeline):
    """P6: one id, one answer, one effect; another content is refused."""
    answers, others = defaultdict(set), set()
    for entry in _entries(history, "operation"):
        if entry["outcome"] != "done":
            continue
        if entry.get("other"):
            others.add(entry["command"])
        else:
            answers[entry["command"]].add(json.dumps([entry["action"], sorted(entry["removed"]), sorted(entry["not_found"])]))
    # Where the first content was never carried out, the other one is the first.
    for command in sorted(others & answers.keys()):
        timeline.violate("P6", f"the id {command} was used again for another command, and that was done", command)
    for command, different in answers.items():
        if len(different) > 1:
            timeline.violate("P6", f"the command {command} had {len(different)} answers: {' and '.join(sorted(different))}", command)
    for command, messages in timeline.by_command.items():
        effects = [message for message in messages if "remembered" in message.body]
        if len(effects) > 1:
            timeline.violate("P6", f"the command {command} was carried out {len(effects)} times", command)


def _silence(history, timeline):
    """P7: no packet to or from a victim after its receipt's media_stopped_at, through the gateway that wrote it."""
    stopped = {}
    for message in history.receipts:
        gateway = message.body["gateway"].rpartition("_")[0]
        for report in message.body["sessions"]:
            if report.get("media_stopped_at") is not None:
                stopped[report["session"], gateway] = report["media_stopped_at"] / 1000
    for entry in _entries(history, "packets"):
        for end in ("session", "source"):
            at = stopped.get((entry[end], entry["gateway"]))
            if at is not None and entry["last"] > at + CLOCK:
                late = entry["last"] - at
                text = f"{late:.3f} s after media_stopped_at of {entry[end]}, {entry['source']} still reached {entry['session']}"
                timeline.violate("P7", text, entry[end])


def _isolation(history, timeline):
    """P5: whoever is ended, and whatever is cut off, is silent within the isolation grace."""
    grace = history.settings.get("isolation_grace")
    if grace is None:
        return
    cuts = [entry for entry in _entries(history, "fault") if entry["kind"] in ("cut", "sever", "freeze")]
    for entry in _entries(history, "packets"):
        for end in ("session", "source"):
            stay = timeline.stays.get(entry[end])
            if stay is not None and stay.end is not None and entry["last"] > stay.end.at + grace + SLACK:
                late = entry["last"] - stay.end.at
                timeline.violate("P5", f"media of session {entry[end]} flowed {late:.1f} s after its ending was committed", entry[end])
        for cut in cuts:
            if cut["target"] == entry["gateway"] and cut["began"] + grace + SLACK < entry["last"] < cut["wall"] - CLOCK:
                late = entry["last"] - cut["began"]
                text = f"{cut['target']} forwarded media {late:.1f} s after it was cut off from the bus ({cut['kind']})"
                timeline.violate("P5", text, entry["session"])

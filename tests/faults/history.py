"""What a run has left behind, read without the project's help: the standard library only.

A run's directory holds `stream.jsonl` and `receipts.jsonl` (one stored message a line: sequence, time of storing, subject, body)
and `log*.jsonl`: what each client did and heard, what each caller was answered, what each fault was; wall clock in seconds.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

BANNED = ("removed", "replaced", "dismissed")
IN_ROOM = ("joined", "attached", "detached", "role_switched", "left", "dissolved")


@dataclass(frozen=True)
class Stored:
    """One message of a stream."""

    seq: float
    """In the stream; with what came before it in a group of commands, in thousandths."""
    at: float
    """When the server stored it."""
    subject: str
    body: dict

    @property
    def room(self):
        """App and room, as the subject names them."""
        return ".".join(self.subject.split(".")[4:6])

    @property
    def partition(self):
        """The partition that it is in."""
        return self.subject.split(".")[3]

    def line(self):
        """Write it down for people."""
        return f"{self.at:.3f} #{self.seq} {self.subject.partition('.evt.')[2] or self.subject} {json.dumps(self.body, ensure_ascii=False)}"


@dataclass(frozen=True)
class Violation:
    """A promise that was broken, and the shortest history that shows it."""

    promise: str
    text: str
    evidence: tuple[str, ...] = ()

    def __str__(self):
        return "\n".join((f"{self.promise}: {self.text}", *(f"    {line}" for line in self.evidence)))


@dataclass
class History:
    """Everything that is known of a run."""

    stream: list[Stored]
    receipts: list[Stored] = field(default_factory=list)
    log: list[dict] = field(default_factory=list)
    settings: dict = field(default_factory=dict)
    """`isolation_grace`: seconds; the longest that a gateway forwards without hearing the bus."""

    @classmethod
    def load(cls, directory):
        """Read a run's directory."""
        directory = Path(directory)
        streams = [[Stored(**message) for message in History.entries(directory / name)] for name in ("stream.jsonl", "receipts.jsonl")]
        logs = [entry for path in sorted(directory.glob("log*.jsonl")) for entry in History.entries(path)]
        log = sorted(logs, key=lambda entry: entry["wall"])
        settings = next((entry for entry in log if entry["what"] == "settings"), {})
        return cls(*streams, log, settings)

    @staticmethod
    def entries(path):
        """Read a file of JSON lines; the last one may not be complete yet."""
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def about(self, *names, limit=40):
        """Return the lines that name a session, a command or a room, in the order of time: the shortest history there is of them."""
        written = [
            (message.at, line) for message in (*self.stream, *self.receipts) if any(name in (line := message.line()) for name in names)
        ]
        packets = [entry for entry in self.log if entry["what"] == "packets" and {entry["session"], entry["source"]} & set(names)]
        entries = [entry for entry in self.log if entry["what"] != "packets" and _is_about(entry, names)] + packets[-3:]
        written += [(entry["wall"], f"{entry['wall']:.3f} {json.dumps(entry, ensure_ascii=False)}") for entry in entries]
        lines = [line for _, line in sorted(written)]
        cut = len(lines) - limit
        return tuple(lines if cut <= 0 else [*lines[: limit // 2], f"... {cut} more lines ...", *lines[-limit // 2 :]])


def _is_about(entry, names):
    """Say whether a line of the log is one of these names' own, not another's that mentions it."""
    own = {entry.get("session"), entry.get("command"), entry.get("peer"), entry.get("target"), *entry.get("removed", ())}
    return bool(own & set(names)) or entry["what"] == "fault"


@dataclass
class Stay:
    """One session, from the stream."""

    session: str
    user: str
    room: str
    joined: Stored
    role: str
    attachment: int = 1
    attachments: list[tuple[int, Stored]] = field(default_factory=list)
    roles: set[str] = field(default_factory=set)
    reason: str | None = None
    end: Stored | None = None


@dataclass
class _Life:
    incarnation: str
    seq: int = 0
    sessions: dict[str, Stay] = field(default_factory=dict)


class Timeline:
    """The stream, folded fact by fact; what cannot follow is a violation."""

    def __init__(self, history):
        self.violations = []
        self.stays = {}
        self.by_command = {}
        """Command to the messages that it left."""
        self.present = {}
        """Sequence of a message to the users who were in its room before it."""
        self.states = {}
        """Room to its anchors after each message: a list of time and sessions, in order."""
        self.bars = []
        """Messages that count earlier time-outs as something else."""
        self._history = history
        self._lives = {}
        self._past = set()
        self._barred = {}
        self._lost = set()
        for message in history.stream:
            self._take(message)

    def anchors_at(self, room, wall):
        """Return the anchors of a room at a time, and when the room last changed before and next changes after."""
        before, after, anchors = float("-inf"), float("inf"), frozenset()
        for at, state in self.states.get(room, ()):
            if at > wall:
                after = at
                break
            before, anchors = at, state
        return anchors, before, after

    def violate(self, promise, text, *names):
        """Note a violation, with the lines about some names."""
        self.violations.append(Violation(promise, text, self._history.about(*names)))

    def _take(self, message):
        room, facts = message.room, message.body.get("facts", [])
        self.by_command.setdefault(message.body["command"], []).append(message)
        before = self._lives.get(room)
        self.present[message.seq] = {stay.user for stay in before.sessions.values()} if before else set()
        for fact in facts:
            if fact["kind"] in IN_ROOM:
                self._step(room, fact, message)
                getattr(self, f"_{fact['kind']}")(self._lives[room], fact, message)
            elif fact["kind"] == "barred":
                self._barred[fact["session"]] = fact["reason"]
            elif fact["kind"] == "users_barred":
                self.bars.append((message, fact))
            elif fact["kind"] == "gateway_lost":
                self._lost.add((message.partition, fact["gateway"]))
        life = self._lives.get(room)
        if life is not None and facts:
            self.states.setdefault(room, []).append(
                (message.at, frozenset(stay.session for stay in life.sessions.values() if stay.role == "anchor"))
            )
            if not life.sessions:
                self._past.add((room, life.incarnation))
                del self._lives[room]

    def _is_taken_in(self, fact, message):
        """P5: a gateway that was declared lost takes no sessions any more."""
        if (message.partition, fact["gateway"]) in self._lost:
            text = f"session {fact['session']} was given to {fact['gateway']} in #{message.seq}, which had been declared lost"
            self.violate("P5", text, fact["session"], fact["gateway"])

    def _step(self, room, fact, message):
        """P3: 1, 2, 3 ... within an incarnation, one incarnation at a time, none twice."""
        life = self._lives.get(room)
        name = f"{fact['incarnation']}#{fact['seq']}"
        if life is None:
            if (room, fact["incarnation"]) in self._past:
                self.violate("P3", f"{room}: {name} is of a life that has ended", room)
            life = self._lives[room] = _Life(fact["incarnation"])
        if life.incarnation != fact["incarnation"] or fact["seq"] != life.seq + 1:
            self.violate("P3", f"{room}: {life.incarnation}#{life.seq} is followed by {name} in #{message.seq}", room)
            life.incarnation = fact["incarnation"]
        life.seq = fact["seq"]

    def _joined(self, life, fact, message):
        self._is_taken_in(fact, message)
        session, user = fact["session"], fact["user"]
        if session in self.stays:
            self.violate("P5", f"session {session} of {user} came in a second time", session)
        elif session in self._barred:
            self.violate("P5", f"session {session} of {user} was ended before it came in, and came in", session)
        stay = Stay(session, user, message.room, message, fact["role"], roles={fact["role"]})
        life.sessions[session] = self.stays[session] = stay
        self._one_anchor(life, stay)

    def _one_anchor(self, life, stay):
        if stay.role != "anchor":
            return
        for other in life.sessions.values():
            if other.user == stay.user and other.role == "anchor" and other is not stay:
                text = f"{stay.user} is anchor twice in {stay.room}: {other.session} and {stay.session}"
                self.violate("P1", text, other.session, stay.session)

    def _member(self, life, fact, message):
        """Return the session that a fact is about; P5 where it is not in the room any more."""
        stay = life.sessions.get(fact["session"])
        if stay is None:
            known = self.stays.get(fact["session"])
            text = "was never there" if known is None else f"had ended ({known.reason})"
            self.violate("P5", f"#{message.seq} says {fact['kind']} of session {fact['session']}, which {text}", fact["session"])
        return stay

    def _attached(self, life, fact, message):
        self._is_taken_in(fact, message)
        if (stay := self._member(life, fact, message)) is None:
            return
        if fact["attachment"] != stay.attachment + 1:
            self.violate("P3", f"session {stay.session}: attachment {stay.attachment} is followed by {fact['attachment']}", stay.session)
        stay.attachment = fact["attachment"]
        stay.attachments.append((fact["attachment"], message))

    def _detached(self, life, fact, message):
        self._member(life, fact, message)

    def _role_switched(self, life, fact, message):
        if (stay := self._member(life, fact, message)) is not None:
            stay.role = fact["role"]
            stay.roles.add(stay.role)
            self._one_anchor(life, stay)

    def _left(self, life, fact, message):
        for end in fact["sessions"]:
            stay = life.sessions.pop(end["session"], None)
            if stay is not None:
                stay.reason, stay.end = fact["reason"], message
                continue
            known = self.stays.get(end["session"])
            text = "never joined" if known is None else f"had ended ({known.reason})"
            self.violate("P2", f"#{message.seq} ends session {end['session']} ({fact['reason']}), which {text}", end["session"])

    def _dissolved(self, life, _fact, message):
        for stay in life.sessions.values():
            stay.reason, stay.end = "dismissed", message
        life.sessions.clear()

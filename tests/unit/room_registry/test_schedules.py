"""Two writers of one partition under any schedule: commands that come twice or late, answers that are lost, crashes, snapshots.

The writers and their ledgers are the real ones; the stream is in memory (tests/room_registry/test_memory_stream.py holds it
against a real server), and a seeded chance decides who takes the next step and what becomes of each publish.
"""

import functools
import random
from collections import Counter, deque

import pytest
import structlog

from services.room_registry.ahead import Loss
from services.room_registry.domain.partition import Limits, Partition
from services.room_registry.domain.snapshot import dump, restore
from services.room_registry.ledger import Ledger
from services.room_registry.writer import Writer
from shared.contracts.commands import Detach, Dismiss, Join, Leave, Remove, Resume, Role, SwitchRole
from shared.contracts.errors import UnavailableError
from shared.contracts.events import read_events
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import DismissReply, JoinReply, Refusal, RemoveReply, ResumeReply
from tests.support.memory_stream import Fate, MemoryConnection, MemoryStream, point
from tests.unit.room_registry.world import APP, session, token

SCHEDULES = 1000
STEPS = 90
GATEWAYS = ["edge_" + digit * 16 for digit in "012"]
USERS = ["ann", "bob"]
ROOMS = [1, 2]
FATES = [Fate.ANSWERED] * 12 + [Fate.LOST, Fate.UNANSWERED, Fate.UNANSWERED, Fate.LATE]


class Node:
    """One registry: a writer, its memory, and where it is in its work."""

    def __init__(self, run, name, partition):
        self.run = run
        self.inbox = []
        self.asked = deque()
        self.partition = partition
        self.writer = Writer(
            0,
            partition,
            Ledger(MemoryConnection(run.stream)),
            catch_up=self.catch_up,
            name=name,
            clock=run.clock,
            new_id=run.new_id,
            back_off=point,
        )
        self.life = None

    async def catch_up(self):
        if await point() is Fate.LOST:
            raise UnavailableError("not now")
        self.fold(len(self.run.stream.messages))

    def fold(self, until):
        """Fold what a follower would."""
        for seq, subject, data in self.run.stream.messages[self.partition.last_seq : until]:
            self.partition.fold(seq, parsed(subject, data))
        self.writer.yielded()

    def hear(self, questions):
        """Ask at once, whatever is under way; what comes before the partition is owned waits."""
        self.inbox += questions
        if self.writer.serving:
            self.asked += self.inbox
            for each in self.inbox:
                self.writer.ask(each)
            self.inbox = []

    async def live(self):
        """Own the partition until somebody else does."""
        await self.writer.take_over()
        self.hear([])
        while self.writer.serving:
            await point()
            while self.asked:
                for reply in await self.writer.commit():
                    self.run.answered(self.asked.popleft(), reply)
        self.writer.stand_by()

    def step(self, fate):
        if self.life is None:
            self.life = self.live()
            fate = None
        try:
            self.life.send(fate)
        except StopIteration:
            self.life = None


class Run:
    """One schedule."""

    def __init__(self, seed):
        self.chance = random.Random(seed)  # noqa: S311 -- a schedule, not a secret
        self.stream = MemoryStream()
        self.now = 1_000
        self.ids = 0
        self.asked = []
        self.sessions = []
        self.answers = {}
        self.nodes = [self.start(), self.start()]

    def clock(self):
        self.now += self.chance.randrange(3)
        return self.now

    def new_id(self):
        self.ids += 1
        return f"i{self.ids}"

    def start(self):
        """Start a registry, from nothing or from a snapshot of some prefix of the stream."""
        prefix = self.folded(self.chance.randrange(len(self.stream.messages) + 1))
        return Node(self, self.new_id(), restore(Limits(), list(dump(prefix))))

    def folded(self, until):
        """Return what a prefix of the stream comes to."""
        node = Node(self, "", Partition(Limits()))
        node.fold(until)
        return node.partition

    def go(self):
        for _ in range(STEPS):
            node = self.chance.choice(self.nodes)
            match self.chance.random():
                case x if x < 0.35:
                    node.hear(self.questions())
                case x if x < 0.82:
                    node.step(self.chance.choice(FATES))
                case x if x < 0.94:
                    last = len(self.stream.messages)
                    node.fold(self.chance.choice([last, self.chance.randrange(last + 1)]))
                case x if x < 0.97:
                    self.stream.deliver_late()
                case _:
                    self.nodes[self.nodes.index(node)] = self.start()

    def questions(self):
        """Ask something new or something again; now and then much at once."""
        return [self.question() for _ in range(self.chance.choice([1, 1, 1, 2, 12]))]

    def question(self):
        if self.asked and self.chance.random() < 0.25:
            return self.chance.choice(self.asked)
        asked = self.new_question()
        self.asked.append(asked)
        return asked

    def new_question(self):
        chance = self.chance
        common = {"id": self.new_id(), "app": APP, "room": chance.choice(ROOMS)}
        gateway = chance.choice(GATEWAYS)
        kind = chance.choice([Join, Join, Join, Resume, Leave, SwitchRole, Detach, Remove, Dismiss, Loss])
        if kind is Join or (kind not in (Remove, Dismiss, Loss) and not self.sessions):
            number = len(self.sessions)
            self.sessions.append(common["room"])
            role, user = chance.choice(list(Role)), chance.choice(USERS)
            return Join(**common, session=session(number), token=token(number), user=user, role=role, gateway=gateway)
        if kind is Remove:
            return Remove(**common, users=tuple(USERS[: chance.choice([1, 2])]))
        if kind is Dismiss:
            return Dismiss(**common)
        if kind is Loss:
            return Loss(gateway, self.new_id()) if chance.random() < 0.2 else Dismiss(**common)
        number = chance.randrange(len(self.sessions))
        common |= {"room": self.sessions[number], "session": session(number)}
        if kind is Resume:
            return Resume(**common, token=token(number), gateway=gateway)
        if kind is Detach:
            return Detach(**common, gateway=gateway, attachment=chance.randrange(1, 4))
        if kind is Leave:
            return Leave(**common, attachment=chance.randrange(1, 3), reason=chance.choice([LeaveReason.LEFT, LeaveReason.TIMED_OUT]))
        return SwitchRole(**common, attachment=chance.randrange(1, 3), role=chance.choice(list(Role)))

    def answered(self, asked, reply):
        """Nothing is answered that is not in the stream, and the same question has one answer."""
        if isinstance(reply, Refusal) and reply.retry:
            return
        facts = [fact for _, subject, data in self.stream.messages for event in parsed(subject, data) for fact in event.message.facts]
        if isinstance(reply, JoinReply):
            assert any(fact.kind == "joined" and fact.session == asked.session for fact in facts)
        if isinstance(reply, ResumeReply):
            assert any(fact.kind == "attached" and (fact.session, fact.attachment) == (asked.session, reply.attachment) for fact in facts)
        if isinstance(reply, RemoveReply):
            ended = {end.session for fact in facts if fact.kind == "left" and fact.reason == "removed" for end in fact.sessions}
            assert {removed.session for removed in reply.removed} <= ended
        if isinstance(reply, DismissReply):
            assert any(fact.kind == "dissolved" and fact.incarnation == reply.incarnation for fact in facts)
        if isinstance(asked, Remove | Dismiss):
            assert self.answers.setdefault(asked.id, reply) == reply, "the same command has the same answer"

    def check(self):
        """Read the stream as a stranger would: P1, P2 as far as it goes, P3 and P6. Returns how many events it holds."""
        here, ended, seqs, effects = {}, set(), Counter(), Counter()
        events = [event for _, subject, data in self.stream.messages for event in parsed(subject, data)]
        for key, _, message in events:
            room = here.setdefault(key, {})
            if message.remembered is not None:
                effects[message.command] += 1
            for fact in message.facts:
                if fact.kind in ("attached", "role_switched"):
                    effects[message.command] += 1
                self.check_fact(fact, room, ended, seqs)
        assert max(effects.values(), default=1) == 1, "a command has one effect"
        return len(events)

    def check_fact(self, fact, room, ended, seqs):
        if hasattr(fact, "seq"):
            seqs[fact.incarnation] += 1
            assert fact.seq == seqs[fact.incarnation], "a room's facts are gapless"
        if fact.kind == "joined":
            assert fact.session not in ended
            assert fact.session not in room
            room[fact.session] = (fact.user, fact.role)
        elif fact.kind == "role_switched":
            room[fact.session] = (fact.user, fact.role)
        elif fact.kind in ("left", "dissolved"):
            for gone in [end.session for end in fact.sessions] if fact.kind == "left" else list(room):
                del room[gone]
                ended.add(gone)
        elif fact.kind in ("attached", "detached"):
            assert fact.session in room
        anchors = Counter(user for user, role in room.values() if role is Role.ANCHOR)
        assert max(anchors.values(), default=0) <= 1, "at no point two anchors of one userId"


@functools.lru_cache(maxsize=4096)
def parsed(subject, data):
    return read_events(subject, data)


@pytest.fixture(autouse=True)
def _quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


def test_whatever_the_schedule_the_stream_is_right_and_all_replicas_agree():
    written = 0
    for seed in range(SCHEDULES):
        run = Run(seed)
        try:
            run.go()
            events = run.check()
            last = len(run.stream.messages)
            whole = list(dump(run.folded(last)))
            for node in run.nodes:
                node.fold(last)
                assert list(dump(node.partition)) == whole
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        written += events
    assert written > SCHEDULES * 10

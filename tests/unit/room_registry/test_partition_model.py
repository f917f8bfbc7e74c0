"""Rooms under random commands, against a model that only counts."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from services.room_registry.domain.partition import Limits, Partition
from shared.contracts.commands import Announce, Dismiss, Join, Leave, Remove, Role
from shared.contracts.facts import Dissolved, Joined, Left
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason

APP = 1400000001
BOOTS = ["edge_" + digit * 16 for digit in "0123"]
USERS = ["ann", "bob", "用户2 😀"]
ROOMS = [1, "1"]


class Rooms(RuleBasedStateMachine):
    """Joins, leaves, removals, dismissals and restarts of gateways and registries, in any order."""

    sessions = Bundle("sessions")

    def __init__(self):
        super().__init__()
        self.partition = Partition(Limits())
        self.stream = []
        self.now = 0
        self.count = 0
        self.boot = 0
        # Folded independently of the domain: who joined, who ended, per room.
        self.here = {}
        self.joined = {}
        self.ended = {}
        self.sequence = {}
        self.restart_registry()
        self.do(Announce(id=self.id(), gateway=BOOTS[0]))

    def id(self):
        self.count += 1
        return f"{self.count:032x}"

    def do(self, command):
        self.now += 1
        decision = self.partition.decide(command, self.now)
        self.commit(decision.entries)
        return decision.reply

    def commit(self, entries):
        for entry in entries:
            self.stream.append(entry)
            self.partition.fold(len(self.stream), entry.key, entry.message)
            for fact in entry.message.facts:
                self.check(entry.key, fact)

    def check(self, key, fact):
        if isinstance(fact, Joined | Left | Dissolved):
            expected = self.sequence.get((key, fact.incarnation), 0) + 1
            assert fact.seq == expected, "a room's facts are gapless"
            self.sequence[key, fact.incarnation] = fact.seq
        here = self.here.setdefault(key, {})
        if isinstance(fact, Joined):
            anchors = [s for s, (user, role) in here.items() if (user, role) == (fact.user, Role.ANCHOR)]
            assert fact.role is not Role.ANCHOR or not anchors, "at no point two anchors of one userId"
            assert fact.session not in self.joined, "a session joins once"
            self.joined[fact.session] = key
            here[fact.session] = (fact.user, fact.role)
        elif isinstance(fact, Left | Dissolved):
            for session in [end.session for end in fact.sessions] if isinstance(fact, Left) else list(here):
                assert session not in self.ended, "a session ends once"
                self.ended[session] = key
                del here[session]

    @rule(target=sessions, room=st.sampled_from(ROOMS), user=st.sampled_from(USERS), role=st.sampled_from(Role))
    def join(self, room, user, role):
        session = self.id()
        command = Join(id=self.id(), app=APP, room=room, session=session, user=user, role=role, gateway=BOOTS[self.boot])
        self.do(command)
        return command

    @rule(command=sessions)
    def join_again(self, command):
        self.do(command)

    @rule(command=sessions, reason=st.sampled_from([LeaveReason.LEFT, LeaveReason.TIMED_OUT]))
    def leave(self, command, reason):
        self.do(Leave(id=self.id(), app=APP, room=command.room, session=command.session, reason=reason))

    @rule(room=st.sampled_from(ROOMS), reason=st.sampled_from([LeaveReason.LEFT, LeaveReason.TIMED_OUT]))
    def leave_before_join(self, room, reason):
        self.do(Leave(id=self.id(), app=APP, room=room, session=self.id(), reason=reason))

    @rule(room=st.sampled_from(ROOMS), users=st.lists(st.sampled_from(USERS), min_size=1, max_size=3), again=st.booleans())
    def remove(self, room, users, again):
        command = Remove(id=self.id(), app=APP, room=room, users=tuple(users))
        first = self.do(command)
        if again:
            before = len(self.stream)
            assert self.do(command) == first
            assert len(self.stream) == before

    @rule(room=st.sampled_from(ROOMS))
    def dismiss(self, room):
        self.do(Dismiss(id=self.id(), app=APP, room=room))
        assert RoomKey(APP, room) not in self.partition.rooms

    @rule()
    def restart_gateway(self):
        if self.boot + 1 < len(BOOTS):
            self.boot += 1
            self.do(Announce(id=self.id(), gateway=BOOTS[self.boot]))
            assert not any(self.here.values()), "no session outlives its gateway's boot"

    @rule()
    def restart_registry(self):
        fresh = Partition(Limits())
        for seq, entry in enumerate(self.stream, start=1):
            fresh.fold(seq, entry.key, entry.message)
        assert fresh.rooms == self.partition.rooms
        self.partition = fresh
        self.commit([fresh.begin_epoch(self.id(), self.id(), self.now)])

    @invariant()
    def folding_the_facts_gives_the_members(self):
        members = {key: set(room.sessions) for key, room in self.partition.rooms.items()}
        assert members == {key: set(here) for key, here in self.here.items() if here}

    @invariant()
    def every_join_is_paired_with_one_ending_or_still_here(self):
        here = {session for sessions in self.here.values() for session in sessions}
        assert set(self.joined) == set(self.ended) | here
        assert not set(self.ended) & here


Rooms.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRooms = Rooms.TestCase

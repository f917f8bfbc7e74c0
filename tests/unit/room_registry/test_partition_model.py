"""Rooms under random commands, against a model that only counts."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from services.room_registry.domain.decisions import begin_epoch, decide, lose
from shared.contracts.commands import Detach, Dismiss, Join, Leave, Remove, Resume, Role, SwitchRole
from shared.contracts.errors import RefusalCode
from shared.contracts.facts import Attached, Detached, Dissolved, GatewayLost, Joined, Left, RoleSwitched, UsersBarred
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import JoinReply, LeaveReply, Refusal, ResumeReply
from tests.unit.room_registry.world import APP, replay

GATEWAYS = ["edge_" + digit * 16 for digit in "012345"]
USERS = ["ann", "bob", "用户2 😀"]
ROOMS = [1, "1"]
REASONS = st.sampled_from([LeaveReason.LEFT, LeaveReason.TIMED_OUT])


@dataclass
class Stay:
    """What the facts have said of a session that is here."""

    user: str
    role: Role
    gateway: str
    attachment: int = 1
    former: dict[str, int] = field(default_factory=dict)


class Rooms(RuleBasedStateMachine):
    """Joins, resumes, leaves, removals, dismissals, losses of gateways and restarts of registries, in any order.

    Commands are decided on the state itself, or several on a draft that is committed later.
    """

    sessions = Bundle("sessions")
    resumes = Bundle("resumes")

    def __init__(self):
        super().__init__()
        self.partition = replay([])
        self.draft = None
        self.undone = []
        self.stream = []
        self.now = 0
        self.count = 0
        # Folded independently of the domain: who is here, who ended how, per room.
        self.here = {}
        self.joined = {}
        self.ended = {}
        self.sequence = {}
        self.lost = set()
        self.restart_registry()

    def id(self):
        self.count += 1
        return f"{self.count:032x}"

    def common(self, room):
        return {"id": self.id(), "app": APP, "room": room}

    @property
    def state(self):
        return self.partition if self.draft is None else self.draft

    def do(self, command):
        self.now += 1
        decision = decide(self.state, command, self.now)
        self.write(decision.events)
        return decision.reply

    def write(self, entries):
        for entry in entries:
            if self.draft is None:
                self.commit(entry)
            else:
                self.draft.fold(self.draft.last_seq + 1, [entry])
                self.undone.append(entry)

    def commit(self, entry):
        self.stream.append(entry)
        self.partition.fold(len(self.stream), [entry])
        for fact in entry.message.facts:
            self.check(entry.key, fact)

    def check(self, key, fact):
        if isinstance(fact, Joined | Attached | Detached | RoleSwitched | Left | Dissolved):
            expected = self.sequence.get((key, fact.incarnation), 0) + 1
            assert fact.seq == expected, "a room's facts are gapless"
            self.sequence[key, fact.incarnation] = fact.seq
        here = self.here.setdefault(key, {})
        match fact:
            case Joined():
                assert fact.session not in self.joined, "a session joins once"
                assert fact.gateway not in self.lost, "what is lost brings nobody in"
                self.joined[fact.session] = key
                here[fact.session] = Stay(fact.user, fact.role, fact.gateway)
            case Attached():
                self.check_attached(here[fact.session], fact)
            case Detached():
                assert here[fact.session].former.pop(fact.gateway) == fact.attachment
            case RoleSwitched():
                assert here[fact.session].role is not fact.role
                here[fact.session].role = fact.role
            case Left():
                for end in fact.sessions:
                    stay = here.pop(end.session)
                    assert (end.user, end.role, end.gateway) == (stay.user, stay.role, stay.gateway)
                    assert set(end.former) == set(stay.former), "an ending names every gateway that holds the session"
                    self.end(end.session, stay.user, key, fact.reason)
            case Dissolved():
                for session, stay in here.items():
                    self.end(session, stay.user, key, LeaveReason.DISMISSED)
                here.clear()
            case UsersBarred():
                for session, (user, where, reason) in self.ended.items():
                    if where == key and reason is LeaveReason.TIMED_OUT and (not fact.users or user in fact.users):
                        self.ended[session] = (user, where, fact.reason)
            case GatewayLost():
                assert fact.gateway not in self.lost, "a gateway is lost once"
                self.lost.add(fact.gateway)
                for stay in [stay for stays in self.here.values() for stay in stays.values()]:
                    stay.former.pop(fact.gateway, None)
        anchors = [stay.user for stay in here.values() if stay.role is Role.ANCHOR]
        assert len(anchors) == len(set(anchors)), "at no point two anchors of one userId"

    def check_attached(self, stay, fact):
        assert fact.attachment == stay.attachment + 1, "attachments are counted"
        assert fact.gateway not in self.lost, "what is lost takes nobody over"
        assert (fact.user, fact.role) == (stay.user, stay.role)
        if stay.gateway not in self.lost:
            stay.former[stay.gateway] = stay.attachment
        stay.former.pop(fact.gateway, None)
        stay.gateway, stay.attachment = fact.gateway, fact.attachment

    def end(self, session, user, key, reason):
        assert session not in self.ended, "a session ends once"
        self.ended[session] = (user, key, reason)

    def attachment_of(self, command):
        room = self.state.rooms.get(command.key)
        return room.sessions[command.session].attachment if room and command.session in room.sessions else 1

    # What gateways do

    @rule(
        target=sessions,
        room=st.sampled_from(ROOMS),
        user=st.sampled_from(USERS),
        role=st.sampled_from(Role),
        gateway=st.sampled_from(GATEWAYS),
        yields=st.booleans(),
    )
    def join(self, room, user, role, gateway, yields):
        session = self.id()
        command = Join(**self.common(room), session=session, user=user, role=role, gateway=gateway, yields=yields, token=session + session)
        reply = self.do(command)
        assert isinstance(reply, JoinReply) or reply.code in (RefusalCode.GATEWAY_LOST, RefusalCode.ANCHOR_TAKEN)
        return command

    @rule(command=sessions)
    def join_again(self, command):
        self.do(command)

    @rule(target=resumes, command=sessions, gateway=st.sampled_from(GATEWAYS), right=st.booleans() | st.just(value=True))
    def resume(self, command, gateway, right):
        token = command.token if right else "f" * 64
        again = Resume(**self.common(command.room), session=command.session, token=token, gateway=gateway)
        reply = self.do(again)
        if not right:
            assert reply.code is RefusalCode.SESSION_UNKNOWN
        elif isinstance(reply, Refusal) and reply.code is RefusalCode.SESSION_ENDED and self.draft is None:
            assert reply.reason is self.ended[command.session][2], "who comes back hears how it ended"
        return again

    @rule(command=resumes)
    def resume_again(self, command):
        before = self.state.last_seq
        reply = self.do(command)
        if isinstance(reply, ResumeReply):
            room = self.state.rooms[command.key]
            assert room.sessions[command.session].gateway == command.gateway
            assert reply.attachment == room.sessions[command.session].attachment
        assert self.state.last_seq == before + 1

    @rule(command=sessions, gateway=st.sampled_from(GATEWAYS), attachment=st.integers(1, 6))
    def detach(self, command, gateway, attachment):
        self.do(Detach(**self.common(command.room), session=command.session, gateway=gateway, attachment=attachment))

    @rule(command=sessions, role=st.sampled_from(Role), late=st.booleans())
    def switch_role(self, command, role, late):
        attachment = 1 if late else self.attachment_of(command)
        switch = SwitchRole(**self.common(command.room), session=command.session, attachment=attachment, role=role)
        first = self.do(switch)
        assert self.do(switch) == first

    @rule(command=sessions, reason=REASONS, late=st.booleans())
    def leave(self, command, reason, late):
        attachment = 1 if late else self.attachment_of(command)
        current = attachment == self.attachment_of(command)
        reply = self.do(Leave(**self.common(command.room), session=command.session, attachment=attachment, reason=reason))
        assert isinstance(reply, LeaveReply)
        room = self.state.rooms.get(command.key)
        assert not current or room is None or command.session not in room.sessions

    @rule(room=st.sampled_from(ROOMS), reason=REASONS)
    def leave_before_join(self, room, reason):
        self.do(Leave(**self.common(room), session=self.id(), reason=reason))

    # What administrators and owners do

    @rule(room=st.sampled_from(ROOMS), users=st.lists(st.sampled_from(USERS), min_size=1, max_size=3), again=st.booleans())
    def remove(self, room, users, again):
        command = Remove(**self.common(room), users=tuple(users))
        first = self.do(command)
        if again:
            before = self.state.last_seq
            assert self.do(command) == first
            assert self.state.last_seq == before

    @rule(room=st.sampled_from(ROOMS))
    def dismiss(self, room):
        self.do(Dismiss(**self.common(room)))
        assert RoomKey(APP, room) not in self.state.rooms

    @rule(gateway=st.sampled_from(GATEWAYS[:-1]), stops_after=st.integers(1, 4))
    def lose(self, gateway, stops_after):
        self.now += 1
        self.write(lose(self.state, gateway, self.id(), self.now)[:stops_after])

    @precondition(lambda self: self.draft is None)
    @rule()
    def begin_batch(self):
        self.draft = self.partition.draft()

    @precondition(lambda self: self.draft is not None)
    @rule(carried_out=st.booleans())
    def end_batch(self, carried_out):
        draft, self.draft = self.draft, None
        undone, self.undone = self.undone, []
        if carried_out:
            # Before the state below the draft changes.
            expected = dict(draft.rooms), draft.gateways(), len(draft.ended), draft.live
            for entry in undone:
                self.commit(entry)
            partition = self.partition
            assert (partition.rooms, partition.gateways(), len(partition.ended), partition.live) == expected, "a draft is what comes of it"

    @precondition(lambda self: self.draft is None)
    @rule()
    def restart_registry(self):
        fresh = replay(self.stream)
        assert fresh.rooms == self.partition.rooms
        assert fresh.gateways() == self.partition.gateways()
        self.partition = fresh
        self.commit(begin_epoch(fresh, self.id(), self.id(), self.now))

    # What is always true

    @invariant()
    def folding_the_facts_gives_the_members(self):
        members = {
            key: {
                s.id: Stay(s.user, s.role, s.gateway, s.attachment, {each.gateway: each.attachment for each in s.former})
                for s in room.sessions.values()
            }
            for key, room in self.partition.rooms.items()
        }
        assert members == {key: here for key, here in self.here.items() if here}

    @invariant()
    def every_join_is_paired_with_one_ending_or_still_here(self):
        here = {session for sessions in self.here.values() for session in sessions}
        assert set(self.joined) == set(self.ended) | here
        assert not set(self.ended) & here

    @invariant()
    def endings_are_remembered_as_they_were(self):
        for session, (user, key, reason) in self.ended.items():
            ended = self.partition.ended.get(session)
            assert (ended.user, ended.key, ended.reason) == (user, key, reason)

    @invariant()
    def gateways_that_hold_a_session_matter(self):
        holders = {gateway for here in self.here.values() for stay in here.values() for gateway in (stay.gateway, *stay.former)}
        owing = self.partition.ended.gateways()
        assert self.partition.gateways() == holders | {gateway for gateway in owing if gateway not in self.lost}


Rooms.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestRooms = Rooms.TestCase

"""The rules of rooms, without a bus: commands in, facts out, folding facts gives the state."""

import pytest

from services.room_registry.domain.decisions import decide
from services.room_registry.domain.partition import Limits, Partition
from shared.contracts.commands import Dismiss, Join, Remove, Role
from shared.contracts.errors import RefusalCode
from shared.contracts.facts import MAX_FORMER_GATEWAYS, Dissolved, Joined, Left, SessionBarred
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import DismissReply, JoinReply, LeaveReply, Refusal, RemoveReply
from tests.unit.room_registry.world import APP, EDGE, World, replay, session


def test_a_room_exists_from_its_first_join_to_its_last_leave():
    """Nobody creates a room, and an empty one is gone."""
    world = World()
    assert isinstance(world.join(1), JoinReply)
    world.leave(1)
    assert not world.partition.rooms
    first = world.facts[0].incarnation
    assert world.join(2).incarnation != first


def test_the_newer_anchor_stays_and_the_older_is_replaced_first():
    """Both facts are in one message: nobody ever sees two anchors, nor none."""
    world = World()
    world.join(1)
    world.join(2)
    assert [type(fact) for fact in world.facts] == [Left, Joined]
    assert world.facts[0].reason is LeaveReason.REPLACED
    assert world.facts[0].sessions[0].session == session(1)
    assert len(world.stream[-1].message.facts) == 2
    assert world.members() == {2}


def test_replacing_the_only_session_keeps_the_room_alive():
    """The room is the same life before and after."""
    world = World()
    first = world.join(1)
    second = world.join(2)
    assert (second.incarnation, second.seq) == (first.incarnation, 3)


@pytest.mark.parametrize(("old", "new"), [(Role.AUDIENCE, Role.AUDIENCE), (Role.AUDIENCE, Role.ANCHOR), (Role.ANCHOR, Role.AUDIENCE)])
def test_audience_sessions_of_one_user_coexist(old, new):
    """Only anchor against anchor is a duplicate."""
    world = World()
    world.join(1, role=old)
    world.join(2, role=new)
    assert world.members() == {1, 2}


def test_a_late_leave_of_a_replaced_session_ends_nobody():
    """Endings name sessions, not users."""
    world = World()
    world.join(1)
    world.join(2)
    assert isinstance(world.leave(1), LeaveReply)
    assert world.facts == []
    assert world.members() == {2}


def test_joining_twice_with_one_session_is_one_join():
    """A redelivered join is answered with the roster of now, and causes nothing."""
    world = World()
    world.join(1)
    world.join(9, "bob")
    reply = world.join(1)
    assert world.facts == []
    assert [peer.user for peer in reply.roster] == ["bob"]
    assert reply.seq == 2


def test_a_session_that_ended_never_comes_back():
    """A join that arrives after the end is refused with the reason of the end."""
    world = World()
    world.join(1)
    world.remove("ann")
    ended_by = world.stream[-1].message
    reply = world.join(1)
    assert (reply.code, reply.reason) == (RefusalCode.SESSION_ENDED, LeaveReason.REMOVED)
    assert (reply.command, reply.correlation) == (ended_by.command, ended_by.correlation)
    assert world.members() == set()


def test_a_leave_that_overtakes_its_join_bars_it():
    """Otherwise the join would leave a ghost behind."""
    world = World()
    world.leave(1, LeaveReason.TIMED_OUT)
    assert isinstance(world.facts[0], SessionBarred)
    assert world.join(1).code is RefusalCode.SESSION_ENDED


def test_remove_takes_all_sessions_of_the_user_and_names_who_was_not_there():
    """Anchor and audience alike; the others stay."""
    world = World()
    world.join(1)
    world.join(2, role=Role.AUDIENCE)
    world.join(3, "bob")
    reply = world.remove("ann", "nobody")
    assert isinstance(reply, RemoveReply)
    assert {removed.session for removed in reply.removed} == {session(1), session(2)}
    assert reply.not_found == ("nobody",)
    assert world.members() == {3}


def test_remove_is_no_ban():
    """A fresh join works at once."""
    world = World()
    world.join(1)
    world.remove("ann")
    assert isinstance(world.join(2), JoinReply)


def test_remove_in_a_room_that_is_not_there_is_refused():
    """As TRTC does."""
    assert World().remove("ann").code is RefusalCode.ROOM_NOT_EXIST


def test_a_repeated_removal_gets_the_same_answer_and_ends_nobody_new():
    """Also when the user has come back meanwhile, and on a replica that folded the stream."""
    world = World()
    world.join(1)
    first = world.remove("ann", id="kick")
    world.join(2)
    assert world.remove("ann", id="kick") == first
    assert world.members() == {2}
    again = decide(replay(world.stream), Remove(id="kick", app=APP, room=1, users=("ann",)), world.now)
    assert (again.reply, again.events) == (first, ())


def test_a_command_id_with_another_content_is_refused():
    """The id is the command."""
    world = World()
    world.join(1)
    world.remove("nobody", id="kick")
    assert world.remove("ann", id="kick").code is RefusalCode.COMMAND_REUSED
    assert world.members() == {1}


def test_answers_are_forgotten_after_their_age_only():
    """Until then a new command is refused rather than an old one forgotten."""
    world = World(answers=1)
    world.join(1)
    world.remove("nobody")
    refused = world.remove("nobody")
    assert (refused.code, refused.retry) == (RefusalCode.OVERLOADED, True)
    world.now += Limits().answer_age_ms
    world.leave(7)
    assert isinstance(world.remove("nobody"), RemoveReply)


def test_dismiss_ends_everybody_and_the_next_join_makes_a_new_room():
    """One fact ends the incarnation."""
    world = World()
    first = world.join(1)
    world.join(2, "bob")
    reply = world.dismiss()
    assert isinstance(reply, DismissReply)
    assert reply.sessions == 2
    assert [type(fact) for fact in world.facts] == [Dissolved]
    assert world.join(3).incarnation != first.incarnation
    assert world.join(1).reason is LeaveReason.DISMISSED


def test_an_expired_command_is_not_decided():
    """Its sender has given up, and may have done something else since."""
    world = World()
    world.join(1)
    reply = world.do(Dismiss(id="late", app=APP, room=1, expires_at=world.now))
    assert reply.code is RefusalCode.EXPIRED
    assert world.members() == {1}


def test_a_command_that_was_carried_out_is_never_answered_as_expired():
    """However late it is repeated: its sender must not believe that nothing happened."""
    world = World()
    join = Join(id="j", app=APP, room=1, session=session(1), user="ann", role=Role.ANCHOR, gateway=EDGE, expires_at=world.now + 5)
    remove = Remove(id="r", app=APP, room=1, users=("ann",), expires_at=world.now + 5)
    assert isinstance(world.do(join), JoinReply)
    world.now += 5
    assert isinstance(world.do(join), JoinReply)
    world.now -= 1
    removed = world.do(remove)
    world.now += 60_000
    assert world.do(remove) == removed
    assert world.do(join).code is RefusalCode.SESSION_ENDED


def test_who_replaces_an_own_session_finds_room_in_a_full_room():
    """Nobody is added."""
    world = World(sessions_per_room=2, anchors_per_room=2, sessions_per_user=1)
    world.join(1)
    world.join(2, "bob")
    assert isinstance(world.join(3), JoinReply)
    assert world.members() == {2, 3}


def test_a_room_has_a_bound_on_its_anchors():
    """Every newcomer is told of all of them, in one message; audience does not count."""
    world = World(anchors_per_room=2)
    world.join(1)
    world.join(2, "bob")
    assert world.join(3, "eve").code is RefusalCode.ROOM_FULL
    assert isinstance(world.join(4, "eve", role=Role.AUDIENCE), JoinReply)


def test_what_a_leave_bars_is_bounded_too():
    """A flood of leaves for sessions that never were does not fill the memory without end."""
    world = World(sessions=2)
    world.leave(1)
    world.leave(2)
    refused = world.leave(3)
    assert (refused.code, refused.retry) == (RefusalCode.OVERLOADED, True)


def test_no_message_and_no_answer_is_larger_than_a_server_takes():
    """With the longest ids, quoted twice over in JSON, and the most of everything: users, sessions, former gateways."""
    world = World(sessions_per_user=50)
    gateways = ["g" * 63 + "_" + f"{number:016x}" for number in range(MAX_FORMER_GATEWAYS + 1)]
    number = 0
    for user in [f"{number:02}" + '"' * 126 for number in range(10)]:
        for _ in range(51):
            number += 1
            world.join(number, user, role=Role.AUDIENCE, gateway=gateways[0], room="x")
            for gateway in gateways[1:]:
                world.resume(number, gateway, room="x")
            if number % 51 == 50:
                world.leave(number, LeaveReason.TIMED_OUT, room="x", attachment=len(gateways))
    for _ in range(700):
        number += 1
        world.join(number, f"{number:05}" + '"' * 123, gateway=gateways[-1], room="x")
    reply = world.join(number + 1, "last", room="x")
    assert len(reply.to_bytes()) < 1_000_000
    before = len(world.stream)
    removed = world.remove(*[f"{number:02}" + '"' * 126 for number in range(10)], room="x")
    assert len(removed.removed) == 500
    assert len(world.stream) == before + 1
    world.lose(gateways[-1])
    assert max(len(entry.message.to_bytes()) for entry in world.stream[before:]) < 1_000_000


def test_bounds_of_a_room_and_of_one_user():
    """A full room and a userId that is everywhere are refused, and an ending makes room again."""
    world = World(sessions_per_room=2, sessions_per_user=1)
    world.join(1, role=Role.AUDIENCE)
    assert world.join(2, role=Role.AUDIENCE).code is RefusalCode.TOO_MANY_SESSIONS
    world.join(3, "bob")
    assert world.join(4, "eve").code is RefusalCode.ROOM_FULL
    world.leave(3)
    assert isinstance(world.join(4, "eve"), JoinReply)


def test_a_partition_never_forgets_an_ending_early():
    """Live and remembered sessions share one bound; when it is reached, joins wait."""
    world = World(sessions=2)
    world.join(1)
    world.leave(1)
    world.join(2)
    refused = world.join(3, "bob")
    assert (refused.code, refused.retry) == (RefusalCode.OVERLOADED, True)
    world.now += Limits().ended_age_ms
    world.leave(2)
    assert isinstance(world.join(3, "bob"), JoinReply)


def test_a_removal_of_very_many_sessions_is_spread_over_facts_and_messages():
    """A fact names at most 500 sessions, a message holds two facts, sequence numbers go on."""
    world = World(sessions_per_user=5_000)
    for number in range(1, 4_102):
        world.join(number, role=Role.AUDIENCE)
    before = len(world.stream)
    reply = world.remove("ann")
    assert len(reply.removed) == 4_101
    assert len(world.stream) - before == 5
    assert [fact.seq for fact in world.facts] == list(range(4_102, 4_111))
    assert world.members() == set()


def test_time_never_runs_backwards_in_the_stream():
    """A clock that jumps back does not make the memory's ages wrong."""
    world = World()
    world.join(1)
    world.now = 10
    world.leave(1)
    times = [entry.message.at for entry in world.stream]
    assert times == sorted(times)


def test_a_fact_out_of_order_is_an_error_not_a_guess():
    """A stream with a hole is not folded as if it were whole."""
    world = World()
    world.join(1)
    world.join(2, "bob")
    broken = Partition(Limits())
    with pytest.raises(ValueError, match="cannot be followed"):
        for seq, entry in enumerate(world.stream[:-2] + world.stream[-1:], start=1):
            broken.fold(seq, [entry])


def test_rooms_are_listed_page_by_page():
    """Each once, in the order of their names."""
    world = World()
    for room in range(1, 8):
        world.join(room, room=room)
    seen, after = [], None
    while True:
        page = world.partition.list_rooms(after, 3)
        seen += [room.room for room in page.rooms]
        after = page.after
        if after is None:
            break
    assert seen == list(range(1, 8))


def test_refusals_leave_a_message_too():
    """A reply waits for a commit after the decision: an owner that was fenced meanwhile tells nobody anything."""
    world = World()
    world.join(1)
    world.remove("ann")
    before = len(world.stream)
    assert isinstance(world.join(1), Refusal)
    assert len(world.stream) == before + 1


def test_a_draft_that_is_thrown_away_leaves_nothing_behind():
    """On it everything is as if it were committed."""
    world = World()
    world.join(1)
    world.leave(1, LeaveReason.TIMED_OUT)
    world.join(2, "bob")
    kept, length = world.partition, len(world.stream)
    rooms = dict(kept.rooms)
    world.partition = kept.draft()
    world.remove("ann", id="kick")
    assert world.resume(1).reason is LeaveReason.REMOVED
    world.remove("ann")
    assert world.facts == []
    world.join(3, "eve", room=2)
    world.lose(EDGE)
    assert (world.members(), world.partition.rooms_with(EDGE)) == (set(), [])
    world.partition, world.stream = kept, world.stream[:length]
    assert (kept.rooms, kept.rooms_with(EDGE), kept.gateways(), kept.live) == (rooms, list(rooms.values()), {EDGE}, 1)
    assert kept.answer(APP, "kick") is None
    assert world.resume(1).reason is LeaveReason.TIMED_OUT
    world.remove("ann", id="kick")
    assert world.resume(1).reason is LeaveReason.REMOVED
    world.lose(EDGE)
    assert world.members() == set()

"""Gateways that are lost, and removals that come when the victim has timed out already."""

import pytest

from services.room_registry.domain.decisions import lose
from services.room_registry.domain.partition import Limits
from services.room_registry.domain.snapshot import dump, restore
from shared.contracts.commands import Role, Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.facts import GatewayLost, Left, UsersBarred
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import JoinReply, RemoveReply, ResumeReply
from tests.support.steps import counted
from tests.unit.room_registry.world import APP, EDGE, EDGE_AGAIN, OTHER, World, replay


def test_a_lost_gateways_sessions_end_and_nobody_elses():
    """First the loss, then a message a room; a session that was resumed elsewhere lives."""
    world = World()
    world.join(1)
    world.join(2, "bob", gateway=OTHER)
    world.join(3, "eve", room=2)
    world.join(4, "dan", room=2)
    world.resume(4, OTHER, room=2)
    entries = world.lose(EDGE)
    assert [entry.verb for entry in entries] == [Verb.LOSE] * 3
    assert entries[0].key is None
    assert [type(fact) for fact in world.facts] == [GatewayLost, Left, Left]
    assert {fact.reason for fact in world.facts[1:]} == {LeaveReason.TIMED_OUT}
    assert (world.members(), world.members(room=2)) == ({2}, {4})
    assert world.session(4, room=2).former == ()


def test_a_lost_gateway_takes_no_sessions_any_more():
    """Another boot of the same name does."""
    world = World()
    world.join(1)
    world.lose(EDGE)
    assert world.join(2).code is RefusalCode.GATEWAY_LOST
    world.join(3, gateway=OTHER)
    assert world.resume(3, EDGE).code is RefusalCode.GATEWAY_LOST
    assert isinstance(world.resume(3, EDGE_AGAIN), ResumeReply)
    world.now += Limits().lost_age_ms
    assert isinstance(world.join(4, gateway=OTHER, role=Role.AUDIENCE), JoinReply)
    assert isinstance(world.join(5, role=Role.AUDIENCE), JoinReply)


def test_a_loss_that_is_half_done_is_finished_by_whoever_comes_next():
    """Nothing is done twice, and nothing again when it is done."""
    world = World()
    world.join(1)
    world.join(2, "bob", room=2)
    world.join(3, "eve", room=3)
    entries = lose(world.partition, EDGE, "loss", world.now)
    world.commit(entries[:2])
    assert world.partition.gateways() == {EDGE}
    world.partition = replay(world.stream)
    assert [fact.kind for entry in lose(world.partition, EDGE, "again", world.now) for fact in entry.message.facts] == ["left"] * 2
    world.lose(EDGE)
    assert not world.partition.rooms
    assert world.partition.gateways() == set()
    assert world.lose(EDGE) == ()


def test_a_session_that_is_resumed_from_a_gateway_known_to_be_lost_has_no_former_one():
    """What is lost does not let go of anything."""
    world = World()
    world.join(1)
    world.commit(lose(world.partition, EDGE, "loss", world.now)[:1])
    world.resume(1)
    assert world.session(1).former == ()
    assert world.lose(EDGE) == ()
    assert world.members() == {1}


def test_losses_that_cannot_be_remembered_wait():
    """None is forgotten early."""
    world = World(lost_gateways=1)
    world.join(1)
    world.join(2, "bob", gateway=OTHER)
    world.lose(EDGE)
    assert world.lose(OTHER) == ()
    world.now += Limits().lost_age_ms
    world.leave(9)
    assert world.lose(OTHER)
    assert world.members() == set()


def test_the_gateways_that_matter_are_those_that_hold_a_session_or_have_to_report_its_end():
    """Current and former ones; a removal's until the ending is forgotten, or they are lost."""
    world = World()
    world.join(1)
    assert world.partition.gateways() == {EDGE}
    world.resume(1)
    assert world.partition.gateways() == {EDGE, OTHER}
    world.detach(1, EDGE)
    assert world.partition.gateways() == {OTHER}
    world.join(2, "bob", gateway=EDGE_AGAIN)
    world.leave(2)
    assert world.partition.gateways() == {OTHER}
    world.remove("ann")
    assert world.partition.gateways() == {OTHER}
    replica = replay(world.stream)
    assert replica.gateways() == {OTHER}
    world.now += Limits().ended_age_ms
    world.leave(9)
    assert world.partition.gateways() == set()


def test_a_gateway_that_is_lost_with_nothing_but_a_receipt_owed_is_declared_lost_once():
    """That is what whoever waits for the receipt has to know."""
    world = World()
    world.join(1)
    world.resume(1)
    world.remove("ann", id="kick")
    world.dismiss()
    assert world.partition.answer(APP, "kick").lost == ()
    world.lose(EDGE)
    assert [type(fact) for fact in world.facts] == [GatewayLost]
    answer = world.partition.answer(APP, "kick")
    assert isinstance(answer.answer, RemoveReply)
    assert answer.lost == (EDGE,)
    assert world.partition.gateways() == {OTHER}
    assert world.partition.answer(APP, "another") is None
    assert world.partition.answer(APP + 1, "kick") is None


def test_who_waits_for_a_dismissals_receipts_learns_which_of_its_gateways_are_lost():
    """Current and former ones of any session; a gateway that held nothing of it is none of its."""
    world = World()
    world.join(1)
    world.resume(1)
    world.join(2, "bob", gateway=OTHER)
    world.join(3, "eve", gateway=EDGE_AGAIN, room=2)
    reply = world.dismiss(id="end")
    assert (reply.sessions, reply.attachments) == (2, {EDGE: 1, OTHER: 2})
    world.lose(EDGE_AGAIN)
    assert world.partition.answer(APP, "end").lost == ()
    world.lose(EDGE)
    for partition in (world.partition, replay(world.stream)):
        answer = partition.answer(APP, "end")
        assert (answer.answer, answer.lost) == (reply, (EDGE,))


def test_a_lost_gateway_that_may_go_on_forwarding_is_no_answer_to_who_waits():
    """Its sessions end all the same; whether their media has stopped is for nobody to say."""
    world = World()
    world.join(1)
    world.remove("ann", id="kick")
    world.join(2, "bob")
    world.dismiss(id="end")
    world.join(3, "eve")
    world.lose(EDGE, silent=False)
    assert world.members() == set()
    for partition in (world.partition, replay(world.stream), restore(Limits(), dump(world.partition))):
        assert [partition.answer(APP, command).lost for command in ("kick", "end")] == [(), ()]
        assert partition.gateways() == set()


# Barring


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("how", [LeaveReason.REMOVED, LeaveReason.DISMISSED])
def test_a_removal_holds_for_who_has_timed_out_before(how, empty):
    """Its browser may come back any moment: it hears of the removal then. The answer is what it would have been."""
    world = World()
    world.join(1)
    if not empty:
        world.join(2, "bob")
    world.leave(1, LeaveReason.TIMED_OUT)
    reply = world.remove("ann", id="it") if how is LeaveReason.REMOVED else world.dismiss(id="it")
    assert isinstance(world.facts[-1], UsersBarred)
    if empty:
        assert reply.code is RefusalCode.ROOM_NOT_EXIST
    elif how is LeaveReason.REMOVED:
        assert (reply.removed, reply.not_found) == ((), ("ann",))
    for partition in (world.partition, replay(world.stream)):
        world.partition = partition
        refusal = world.resume(1)
        assert (refusal.code, refusal.reason) == (RefusalCode.SESSION_ENDED, how)
        assert (refusal.command, refusal.correlation) == ("it", "it")


def test_a_removal_bars_those_that_it_names_in_its_room_and_nobody_else():
    """Who left, was replaced or is in another room ended as it did."""
    world = World()
    world.join(1)
    world.leave(1, LeaveReason.TIMED_OUT)
    world.join(2, "bob")
    world.leave(2, LeaveReason.TIMED_OUT)
    world.join(3, room=2)
    world.leave(3, LeaveReason.TIMED_OUT, room=2)
    world.join(4)
    world.leave(4)
    world.remove("ann", "eve")
    assert world.facts[-1].users == ("ann",)
    assert [world.resume(number, room=1 + (number == 3)).reason for number in (1, 2, 3, 4)] == [
        LeaveReason.REMOVED,
        LeaveReason.TIMED_OUT,
        LeaveReason.TIMED_OUT,
        LeaveReason.LEFT,
    ]


def test_a_removal_with_nobody_to_bar_says_nothing_of_it():
    """And the second one has nobody left."""
    world = World()
    world.join(1)
    world.join(2, "bob")
    world.leave(1, LeaveReason.TIMED_OUT)
    world.remove("bob")
    assert not any(isinstance(fact, UsersBarred) for fact in world.facts)
    world.remove("ann")
    world.remove("ann")
    assert world.facts == []
    world.join(3)
    world.dismiss()
    assert not any(isinstance(fact, UsersBarred) for fact in world.facts)


def test_who_is_barred_is_remembered_as_long_as_its_ending():
    """Not longer, and the next sessions in time are not lost with it."""
    world = World()
    world.join(1)
    world.leave(1, LeaveReason.TIMED_OUT)
    world.now += 60_000
    world.join(2, "bob")
    world.leave(2, LeaveReason.TIMED_OUT)
    world.remove("ann", "bob")
    world.now += Limits().ended_age_ms - 60_000
    world.leave(9)
    assert world.resume(1).code is RefusalCode.SESSION_UNKNOWN
    assert world.resume(2).reason is LeaveReason.REMOVED


def test_a_removal_does_not_look_through_all_that_is_remembered():
    """The work is the room's, not the partition's."""
    small, large = World(), World()
    for number in range(2_000):
        large.join(10 + number, f"u{number}", room=10 + number)
        large.leave(10 + number, LeaveReason.TIMED_OUT, room=10 + number)
    steps = []
    for world in (small, large):
        world.join(1)
        world.join(2, "bob")
        world.leave(1, LeaveReason.TIMED_OUT)
        with counted() as counting:
            world.remove("ann")
        steps.append(counting.count)
    assert world.resume(1).reason is LeaveReason.REMOVED
    assert steps[1] < steps[0] * 1.5


def test_a_session_that_never_came_in_is_barred_with_everybody_only():
    """A leave overtook its join: nobody knows whose it was."""
    world = World()
    world.leave(1, LeaveReason.TIMED_OUT)
    world.remove("ann")
    assert world.join(1).reason is LeaveReason.TIMED_OUT
    world.dismiss()
    assert world.join(1).reason is LeaveReason.DISMISSED
    assert world.resume(1).code is RefusalCode.SESSION_UNKNOWN

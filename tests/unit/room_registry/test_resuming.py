"""A session on one gateway after the other: resume, detach, switching the role, and what comes late."""

import pytest

from shared.contracts.commands import Resume, Role
from shared.contracts.errors import RefusalCode
from shared.contracts.facts import MAX_FORMER_GATEWAYS, Attached, Detached, Left, RoleSwitched
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import DetachReply, JoinReply, LeaveReply, ResumeReply, SwitchRoleReply
from tests.unit.room_registry.world import APP, EDGE, EDGE_AGAIN, OTHER, World, replay, session, token


def former(world, number):
    return {each.gateway: each.attachment for each in world.session(number).former}


def test_a_resume_attaches_the_session_to_the_gateway_that_asks():
    """The next attachment; the one before is a former one, and the others are told nothing but that."""
    world = World()
    world.join(1)
    world.join(2, "bob")
    reply = world.resume(1)
    assert isinstance(reply, ResumeReply)
    assert (reply.attachment, reply.user, reply.role, reply.seq) == (2, "ann", Role.ANCHOR, 3)
    assert [peer.user for peer in reply.roster] == ["bob"]
    [fact] = world.facts
    assert isinstance(fact, Attached)
    assert (fact.session, fact.gateway, fact.attachment) == (session(1), OTHER, 2)
    assert former(world, 1) == {EDGE: 1}
    assert world.members() == {1, 2}


def test_a_resume_on_the_same_gateway_leaves_no_former_one():
    """There is nobody else to let go."""
    world = World()
    world.join(1)
    assert world.resume(1, EDGE).attachment == 2
    assert former(world, 1) == {}


def test_who_comes_back_to_a_former_gateway_makes_it_the_current_one():
    """It is not both."""
    world = World()
    world.join(1)
    world.resume(1, OTHER)
    world.resume(1, EDGE)
    assert (world.session(1).gateway, former(world, 1)) == (EDGE, {OTHER: 2})


@pytest.mark.parametrize("shown", [token(2), "0" * 64])
def test_a_wrong_token_and_an_unknown_session_sound_the_same(shown):
    """Live, ended or never there: who has no token learns nothing."""
    world = World()
    world.join(1)
    world.join(3, "bob", token=None)
    live = world.resume(1, shown=shown)
    without_token = world.resume(3, shown=shown)
    unknown = world.resume(7, shown=shown)
    world.remove("ann")
    ended = world.resume(1, shown=shown)
    assert live == without_token == unknown == ended
    assert (ended.code, ended.reason, ended.retry) == (RefusalCode.SESSION_UNKNOWN, None, False)
    assert world.facts == []


@pytest.mark.parametrize("reason", [LeaveReason.REMOVED, LeaveReason.DISMISSED, LeaveReason.REPLACED, LeaveReason.TIMED_OUT])
def test_who_has_the_token_of_an_ended_session_is_told_how_it_ended(reason):
    """With the command that did it and whose it was, so that whoever waits for its receipt can be told, too."""
    world = World()
    world.join(1)
    if reason is LeaveReason.REMOVED:
        world.remove("ann", id="it")
    elif reason is LeaveReason.DISMISSED:
        world.dismiss(id="it")
    elif reason is LeaveReason.REPLACED:
        world.join(2, id="it")
    else:
        world.leave(1, reason, id="it")
    refusal = world.resume(1)
    assert (refusal.code, refusal.reason) == (RefusalCode.SESSION_ENDED, reason)
    assert (refusal.command, refusal.correlation, refusal.user) == ("it", "it", "ann")
    assert world.resume(1, room=2).code is RefusalCode.SESSION_UNKNOWN


def test_a_resume_that_comes_again_is_answered_again_and_attaches_nothing():
    """With the roster of now; also on a replica, and after its time."""
    world = World()
    world.join(1)
    first = world.resume(1, id="again")
    world.join(2, "bob")
    again = world.resume(1, id="again")
    assert world.facts == []
    assert (again.attachment, again.seq, [peer.user for peer in again.roster]) == (first.attachment, 3, ["bob"])
    world.partition = replay(world.stream)
    late = Resume(id="again", app=APP, room=1, session=session(1), token=token(1), gateway=OTHER, expires_at=world.now)
    assert world.do(late) == again
    assert world.facts == []


def test_a_resume_that_comes_again_after_another_one_is_superseded():
    """It must not take the session back; and its id is no other gateway's."""
    world = World()
    world.join(1)
    world.resume(1, OTHER, id="first")
    assert world.resume(1, EDGE_AGAIN, id="first").code is RefusalCode.SUPERSEDED
    world.resume(1, EDGE)
    assert world.resume(1, OTHER, id="first").code is RefusalCode.SUPERSEDED
    assert world.session(1).gateway == EDGE


def test_a_resume_whose_time_is_over_is_not_carried_out():
    """Its gateway has told the browser so."""
    world = World()
    world.join(1)
    late = Resume(id="late", app=APP, room=1, session=session(1), token=token(1), gateway=OTHER, expires_at=world.now)
    assert world.do(late).code is RefusalCode.EXPIRED
    assert world.session(1).gateway == EDGE


def test_former_gateways_are_bounded():
    """A fact that names all of them fits into a message; when one lets go there is room again."""
    world = World()
    world.join(1)
    for number in range(MAX_FORMER_GATEWAYS):
        world.resume(1, f"g{number}_" + "0" * 16)
    refused = world.resume(1, OTHER)
    assert (refused.code, refused.retry) == (RefusalCode.OVERLOADED, True)
    assert isinstance(world.resume(1, EDGE), ResumeReply)
    world.detach(1, "g0_" + "0" * 16, attachment=2)
    assert isinstance(world.resume(1, OTHER), ResumeReply)


def test_a_session_that_was_resumed_is_no_duplicate_of_itself():
    """The anchor slot stays its own, and a join that comes again is the join that it was."""
    world = World()
    world.join(1)
    world.resume(1)
    assert isinstance(world.join(1), JoinReply)
    assert world.facts == []
    assert world.members() == {1}


# Letting go


def test_a_gateway_that_lets_go_is_no_former_one_any_more():
    """Endings do not name it then."""
    world = World()
    world.join(1)
    world.resume(1)
    assert isinstance(world.detach(1, EDGE), DetachReply)
    [fact] = world.facts
    assert isinstance(fact, Detached)
    assert (fact.gateway, fact.attachment) == (EDGE, 1)
    [removed] = world.remove("ann").removed
    assert (removed.gateway, removed.former) == (OTHER, ())


def test_an_ending_names_every_gateway_that_has_not_let_go():
    """In the fact and in the answer; a dismissal's says how many sessions each of them held."""
    world = World()
    world.join(1)
    world.resume(1)
    world.resume(1, EDGE_AGAIN)
    [removed] = world.remove("ann").removed
    assert (removed.gateway, removed.former) == (EDGE_AGAIN, (EDGE, OTHER))
    assert world.facts[0].sessions[0].former == (EDGE, OTHER)
    world.join(2)
    world.resume(2)
    world.join(3, "bob")
    reply = world.dismiss()
    assert (reply.sessions, reply.attachments) == (2, {OTHER: 1, EDGE: 2})


@pytest.mark.parametrize(("gateway", "attachment"), [(EDGE, 2), (OTHER, 2), (EDGE_AGAIN, 1)])
def test_a_late_detach_does_not_take_away_a_later_attachment(gateway, attachment):
    """EDGE holds the third, OTHER held the second and the fourth is EDGE_AGAIN's."""
    world = World()
    world.join(1)
    world.resume(1, OTHER)
    world.resume(1, EDGE)
    world.resume(1, EDGE_AGAIN)
    before = former(world, 1)
    world.detach(1, gateway, attachment=attachment - (gateway == OTHER))
    assert world.facts == []
    assert former(world, 1) == before == {EDGE: 3, OTHER: 2}


def test_a_detach_of_what_is_not_there_is_answered():
    """The gateway can forget it."""
    world = World()
    assert isinstance(world.detach(1), DetachReply)
    world.join(1)
    world.remove("ann")
    world.join(2)
    assert isinstance(world.detach(1), DetachReply)
    assert isinstance(world.detach(2), DetachReply)
    assert world.facts == []


def test_a_leave_of_an_older_attachment_ends_nothing():
    """The browser is elsewhere by now; of the current one it does."""
    world = World()
    world.join(1)
    world.resume(1)
    assert isinstance(world.leave(1, LeaveReason.TIMED_OUT, attachment=1), LeaveReply)
    assert world.facts == []
    assert world.members() == {1}
    world.leave(1, attachment=2)
    assert world.members() == set()
    world.leave(9, attachment=2)
    assert world.facts == []


# Roles


def test_a_role_is_switched_and_nobody_leaves():
    """As audience it is not among those that newcomers are told of."""
    world = World()
    world.join(1)
    assert isinstance(world.switch_role(1, Role.AUDIENCE), SwitchRoleReply)
    [fact] = world.facts
    assert isinstance(fact, RoleSwitched)
    assert (fact.session, fact.user, fact.role, fact.gateway) == (session(1), "ann", Role.AUDIENCE, EDGE)
    assert world.join(2, "bob").roster == ()
    world.switch_role(1, Role.ANCHOR)
    assert [peer.user for peer in world.join(3, "eve").roster] == ["bob", "ann"]


def test_who_becomes_anchor_replaces_the_anchor_of_the_same_user_first():
    """In one message: at no point are there two."""
    world = World()
    world.join(1)
    world.join(2, role=Role.AUDIENCE)
    world.switch_role(2, Role.ANCHOR)
    assert [type(fact) for fact in world.facts] == [Left, RoleSwitched]
    assert world.facts[0].reason is LeaveReason.REPLACED
    assert world.members() == {2}


def test_a_role_that_the_session_has_already_is_no_fact():
    """And no refusal."""
    world = World()
    world.join(1)
    assert isinstance(world.switch_role(1, Role.ANCHOR), SwitchRoleReply)
    assert world.facts == []


def test_a_switch_that_comes_again_does_not_undo_a_later_one():
    """Its answer is the same."""
    world = World()
    world.join(1)
    world.switch_role(1, Role.AUDIENCE, id="down")
    world.switch_role(1, Role.ANCHOR)
    assert isinstance(world.switch_role(1, Role.AUDIENCE, id="down"), SwitchRoleReply)
    assert world.facts == []
    assert world.session(1).role is Role.ANCHOR


def test_a_switch_finds_a_bound_on_anchors_but_may_replace_its_own():
    """As a join does."""
    world = World(anchors_per_room=1)
    world.join(1)
    world.join(2, "bob", role=Role.AUDIENCE)
    world.join(3, role=Role.AUDIENCE)
    assert world.switch_role(2, Role.ANCHOR).code is RefusalCode.ROOM_FULL
    assert isinstance(world.switch_role(3, Role.ANCHOR), SwitchRoleReply)
    assert world.members() == {2, 3}


def test_a_switch_is_refused_where_the_session_is_elsewhere_or_gone():
    """Superseded, ended, or unknown."""
    world = World()
    world.join(1)
    world.resume(1)
    assert world.switch_role(1, Role.AUDIENCE, attachment=1).code is RefusalCode.SUPERSEDED
    world.remove("ann")
    ended = world.switch_role(1, Role.AUDIENCE, attachment=2)
    assert (ended.code, ended.reason) == (RefusalCode.SESSION_ENDED, LeaveReason.REMOVED)
    assert world.switch_role(9, Role.AUDIENCE).code is RefusalCode.SESSION_UNKNOWN


# Yielding


def test_a_join_that_yields_stays_out_where_the_user_has_an_anchor():
    """And comes in where it has none."""
    world = World()
    world.join(1)
    refused = world.join(2, yields=True)
    assert (refused.code, refused.retry) == (RefusalCode.ANCHOR_TAKEN, False)
    assert world.members() == {1}
    assert isinstance(world.join(3, role=Role.AUDIENCE, yields=True), JoinReply)
    world.leave(1)
    assert isinstance(world.join(4, yields=True), JoinReply)
    assert isinstance(world.join(4, yields=True), JoinReply)

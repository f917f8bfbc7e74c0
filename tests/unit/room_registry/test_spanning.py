"""A room is on one gateway: who comes in at another one is refused, until somebody of the room has moved there."""

import pytest

from shared.contracts.commands import Role
from shared.contracts.errors import RefusalCode
from tests.unit.room_registry.world import EDGE, OTHER, World

AUDIENCE = Role.AUDIENCE


@pytest.fixture
def world():
    return World(rooms_span_gateways=False)


def is_elsewhere(reply):
    return getattr(reply, "code", None) is RefusalCode.ROOM_ELSEWHERE


def test_a_join_at_a_gateway_that_has_nobody_of_the_room_is_refused(world):
    """Not as what the same command may find otherwise: the client has to ask anew, best at the other gateway."""
    world.join(1, "ann")
    reply = world.join(2, "bob", gateway=OTHER)
    assert (reply.code, reply.retry) == (RefusalCode.ROOM_ELSEWHERE, False)
    assert world.members() == {1}
    assert world.join(3, "bob").kind == "join"
    assert is_elsewhere(world.join(4, "cleo", role=AUDIENCE, gateway=OTHER))


def test_another_room_may_be_on_another_gateway(world):
    world.join(1, "ann")
    assert world.join(2, "bob", room=2, gateway=OTHER).kind == "join"


def test_a_session_that_moves_brings_the_room_along(world):
    """Those who follow, and newcomers, find it at both as long as there is somebody at each."""
    world.join(1, "ann")
    world.join(2, "bob")
    assert world.resume(1, gateway=OTHER).kind == "resume"
    assert world.join(3, "cleo", gateway=OTHER).kind == "join"
    assert world.join(4, "dan", gateway=EDGE).kind == "join"
    world.leave(1, attachment=2)
    world.leave(3)
    assert is_elsewhere(world.join(5, "eve", gateway=OTHER))


def test_who_replaces_his_own_session_may_do_so_from_anywhere(world):
    """If nobody else is there: the room moves with him. The others' room does not."""
    world.join(1, "ann")
    assert world.join(2, "ann", gateway=OTHER).kind == "join"
    assert world.members() == {2}
    assert world.join(3, "bob", gateway=OTHER).kind == "join"
    assert is_elsewhere(world.join(4, "ann", gateway=EDGE))


def test_a_gateway_that_is_lost_holds_no_room(world):
    """Its sessions end with it."""
    world.join(1, "ann")
    world.lose(EDGE)
    assert world.join(2, "bob", gateway=OTHER).kind == "join"


def test_a_join_that_was_carried_out_is_answered_so_wherever_the_room_is_by_now(world):
    """The same session is not a newcomer."""
    world.join(1, "ann", id="once")
    world.join(2, "bob")
    world.resume(2, gateway=OTHER)
    assert world.join(1, "ann", id="once").kind == "join"


def test_where_rooms_may_span_gateways_nobody_is_refused():
    world = World()
    world.join(1, "ann")
    assert world.join(2, "bob", gateway=OTHER).kind == "join"

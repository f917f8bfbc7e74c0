import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.room_registry.intake import MAX_COMMAND_BYTES, parse_command
from shared.contracts.commands import ROOM_COMMANDS, Detach, Join, Leave, Remove, Resume, Role, SwitchRole, Verb
from shared.contracts.errors import RefusalCode, RefusedError
from shared.contracts.ids import RoomKey
from shared.contracts.subjects import command_subject, partition_of

KEY = RoomKey(1400000001, "a.b c>d")
PARTITION = partition_of(KEY, 8)
BODY = {"id": "c1", "app": KEY.app, "room": KEY.room, "users": ["用户2 😀"]}
SUBJECT = command_subject(PARTITION, KEY, Verb.REMOVE)


def parse(subject=SUBJECT, partition=PARTITION, **changes):
    return parse_command(subject, json.dumps(BODY | changes).encode(), partition, 8)


def test_a_command_is_read_with_ids_in_any_script():
    """What TRTC accepts arrives as it was sent."""
    assert parse() == Remove(id="c1", app=KEY.app, room=KEY.room, users=("用户2 😀",))


def test_every_command_on_a_room_is_read():
    """The gateway's five, too."""
    common = {"id": "c", "app": KEY.app, "room": KEY.room}
    session = {"session": "a" * 32}
    gateway = {"gateway": "edge_" + "0" * 16}
    commands = [
        Join(**common, **session, **gateway, user="ann", role=Role.ANCHOR, token="b" * 64),
        Resume(**common, **session, **gateway, token="b" * 64),
        Leave(**common, **session, attachment=2, reason="left"),
        SwitchRole(**common, **session, attachment=2, role=Role.AUDIENCE),
        Detach(**common, **session, **gateway, attachment=1),
    ]
    for command in commands:
        assert parse_command(command_subject(PARTITION, KEY, command.verb), command.to_bytes(), PARTITION, 8) == command
    assert {command.verb for command in commands} | {Verb.REMOVE, Verb.DISMISS} == set(ROOM_COMMANDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"room": "another"},
        {"room": 5},
        {"app": 1400000002},
        {"app": "1400000001"},
        {"users": []},
        {"users": [f"u{n}" for n in range(11)]},
        {"users": ["a\nb"]},
        {"users": "ann"},
        {"id": "a b"},
        {"id": None},
        {"extra": 1},
        {"expires_at": "soon"},
    ],
)
def test_a_body_that_is_wrong_or_at_odds_with_its_subject_is_refused(changes):
    """With a text that says where, and without what was in it."""
    with pytest.raises(RefusedError) as refused:
        parse(**changes)
    assert refused.value.code is RefusalCode.BAD_REQUEST


@pytest.mark.parametrize("verb", ["epoch", "lose", "explode"])
def test_verbs_that_nobody_may_ask_for_on_a_room_are_refused(verb):
    """An epoch and a loss are the owner's alone."""
    with pytest.raises(RefusedError):
        parse(subject=SUBJECT.rpartition(".")[0] + "." + verb)
    with pytest.raises(RefusedError):
        parse(subject=f"stagedoor.v1.cmd.{PARTITION}._._.{verb}")


def test_a_room_of_another_partition_is_refused():
    """Whoever computes the hash wrongly must not make a second room of the same name."""
    other = (PARTITION + 1) % 8
    with pytest.raises(RefusedError) as refused:
        parse(subject=command_subject(other, KEY, Verb.REMOVE), partition=other)
    assert refused.value.code is RefusalCode.WRONG_PARTITION


def test_a_huge_body_is_refused_unread():
    """A bound on what is parsed."""
    with pytest.raises(RefusedError, match="at most"):
        parse_command(SUBJECT, b" " * (MAX_COMMAND_BYTES + 1), PARTITION, 8)


@given(st.text(max_size=60), st.binary(max_size=200))
def test_hostile_bytes_are_refused_and_nothing_worse(subject, data):
    """No byte string raises anything but a refusal."""
    for where in (subject, SUBJECT):
        with pytest.raises(RefusedError):
            parse_command(where, data, PARTITION, 8)

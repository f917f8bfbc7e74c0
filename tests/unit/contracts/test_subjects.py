import pytest

from shared.contracts import subjects
from shared.contracts.commands import Verb
from shared.contracts.ids import InvalidIdError, RoomKey


@pytest.mark.parametrize("key", [RoomKey(1400000001, 123), RoomKey(1400000001, "123"), RoomKey(1, "a.b c>d"), None])
def test_a_subject_is_read_as_it_was_built(key):
    """Building and reading are each other's inverse, for commands and events."""
    assert subjects.parse_subject(subjects.command_subject("_", key, Verb.REMOVE)) == ("_", key, Verb.REMOVE)
    assert subjects.parse_subject(subjects.event_subject(3, key, Verb.JOIN)) == ("3", key, Verb.JOIN)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "stagedoor.v1.cmd.0.1.n1",
        "stagedoor.v1.cmd.0.1.n1.explode",
        "stagedoor.v2.cmd.0.1.n1.join",
        "stagedoor.v1.qry.0.1.n1.join",
        "stagedoor.v1.cmd.0.x.n1.join",
        "stagedoor.v1.cmd.0.1._.join",
        "stagedoor.v1.cmd.0._.n1.join",
        "stagedoor.v1.cmd.0.1.s=2A.join",
    ],
)
def test_other_subjects_are_refused(subject):
    """Nothing is guessed from a subject that nobody builds."""
    with pytest.raises(InvalidIdError):
        subjects.parse_subject(subject)


def test_subscriptions_come_from_the_table():
    """A channel's subject has a wildcard for each token that is not given."""
    assert subjects.COMMANDS.subscription(partition=3) == "stagedoor.v1.cmd.3.*.*.*"
    assert subjects.DOOR_COMMANDS.subscription() == "stagedoor.v1.cmd._.*.*.*"
    assert subjects.PUBLISHED_EVENTS.subscription() == "stagedoor.v1.pub.*.*.*.*"
    assert subjects.ROOMS.subscription() == "stagedoor.v1.qry.*.rooms"


def test_partitions_are_the_same_everywhere():
    """The hash is part of the contract: another one would send commands to owners that do not have the room."""
    assert subjects.partition_of(RoomKey(1400000001, 123), 8) == 6
    assert subjects.partition_of(RoomKey(1400000001, "123"), 8) == 4
    assert {subjects.partition_of(RoomKey(1, number), 8) for number in range(1, 200)} == set(range(8))

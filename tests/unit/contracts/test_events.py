"""Events in messages: what goes in comes out, in its order, in as few messages as it fits."""

import pytest
from pydantic import ValidationError

from shared.contracts import events
from shared.contracts.commands import Verb
from shared.contracts.events import Event, read_events, stow
from shared.contracts.facts import MAX_EVENTS_PER_MESSAGE, Committed, EpochBegan, Group, SessionBarred
from shared.contracts.ids import InvalidIdError, RoomKey
from shared.contracts.reasons import LeaveReason

BARRED = SessionBarred(session="0" * 32, reason=LeaveReason.LEFT)


def event(number, key=RoomKey(1, "a.b c"), verb=Verb.LEAVE):  # noqa: B008 -- a value
    place = {} if key is None else {"app": key.app, "room": key.room}
    return Event(key, verb, Committed(command=f"c{number}", correlation="c", at=number, facts=(BARRED,), **place))


def test_one_event_is_a_message_on_the_subject_of_its_room():
    """So that a reader by room finds it without reading the others."""
    [message] = stow(3, [event(1)])
    assert message.subject == "stagedoor.v1.evt.3.1.sa=2Eb=20c.leave"
    assert read_events(message.subject, message.data) == (event(1),)


def test_several_are_one_message_of_the_partition():
    """Of rooms with a number and with a string that looks like one, and of no room at all."""
    epoch = Event(None, Verb.EPOCH, Committed(command="e", correlation="e", at=1, facts=(EpochBegan(owner="x"),)))
    several = [event(1), event(2, RoomKey(1, 5), Verb.JOIN), event(3, RoomKey(1, "5")), epoch]
    [message] = stow(3, several)
    assert message.subject == "stagedoor.v1.evt.3._._.group"
    assert list(read_events(message.subject, message.data)) == several == list(message.events)
    # What is written by hand is what the model would write.
    assert Group.model_validate_json(message.data).to_bytes() == message.data


def test_more_than_a_message_takes_is_several(monkeypatch):
    """By number and by size; one that is larger than the limit for groups stands alone."""
    many = [event(number) for number in range(2 * MAX_EVENTS_PER_MESSAGE + 1)]
    assert [len(message.events) for message in stow(0, many)] == [MAX_EVENTS_PER_MESSAGE, MAX_EVENTS_PER_MESSAGE, 1]
    size = len(event(0).message.to_bytes())
    monkeypatch.setattr(events, "MAX_GROUP_BYTES", 2 * size)
    assert [[each.message.command for each in message.events] for message in stow(0, many[:5])] == [["c0", "c1"], ["c2", "c3"], ["c4"]]
    monkeypatch.setattr(events, "MAX_GROUP_BYTES", size - 1)
    assert [len(message.events) for message in stow(0, many[:3])] == [1, 1, 1]
    assert list(stow(0, [])) == []


@pytest.mark.parametrize(
    ("subject", "data", "error"),
    [
        ("stagedoor.v1.evt.0._._.group", b'{"events":[]}', ValidationError),
        ("stagedoor.v1.evt.0._._.group", b'{"command":"c","correlation":"c","at":1}', ValidationError),
        ("stagedoor.v1.evt.0.1.n1.join", b'{"events":[]}', ValidationError),
        ("stagedoor.v1.evt.0", b"{}", InvalidIdError),
    ],
)
def test_what_is_no_event_is_refused(subject, data, error):
    """Who reads the stream must know when he cannot."""
    with pytest.raises(error):
        read_events(subject, data)

import pytest

from services.edge_gateway.lifecycle import TRANSITIONS, Action, Event, ImpossibleMoveError, State, move


def test_every_way_out_leads_through_the_end():
    """From every state in which a session lives, a committed end or a refusal ends it."""
    for state in (State.JOINED, State.CUT_OFF, State.LEAVING, State.MOVED):
        assert move(state, Event.ENDED)[0] is State.ENDED
    for state in (State.JOINING, State.RESUMING, State.LEAVING):
        assert move(state, Event.REFUSED)[0] is State.ENDED


def test_the_end_of_the_gateway_ends_no_session():
    """It lets go of all of them, and says nothing of it to the registry."""
    for state in set(State) - {State.ENDED}:
        after, actions = move(state, Event.CLOSING)
        assert after is State.ENDED
        assert not {Action.SEND_LEAVE, Action.SEND_DETACH} & set(actions)


def test_what_a_browser_does_while_resuming_waits_for_the_answer():
    """The session was there before: neither a leave nor a loss is for an attachment whose number is not known."""
    for event in (Event.LEAVE, Event.SOCKET_LOST, Event.ENDED, Event.MOVED, Event.YIELD):
        assert (State.RESUMING, event) not in TRANSITIONS


def test_media_stops_before_anything_is_said():
    """In every move that does both."""
    for _, actions in TRANSITIONS.values():
        if Action.TELL_ENDED in actions and Action.STOP_MEDIA in actions:
            assert actions.index(Action.STOP_MEDIA) < actions.index(Action.TELL_ENDED)
        if Action.SEND_LEAVE in actions and Action.STOP_MEDIA in actions:
            assert actions.index(Action.STOP_MEDIA) < actions.index(Action.SEND_LEAVE)


def test_nobody_leaves_the_room_with_media_running():
    """Whatever ends or leaves or moves from a state with media stops it, or gives it to who goes on with it here."""
    for (state, _), (after, actions) in TRANSITIONS.items():
        if state in (State.JOINED, State.CUT_OFF) and after in (State.LEAVING, State.MOVED, State.ENDED):
            assert len({Action.STOP_MEDIA, Action.HAND_OVER} & set(actions)) == 1


def test_an_ended_session_does_nothing_any_more():
    """No move leads out of the end."""
    assert not [state for state, _ in TRANSITIONS if state is State.ENDED]


def test_every_state_can_be_reached_and_left():
    """A row that nothing leads to is a mistake."""
    reached = {after for (state, _), (after, _) in TRANSITIONS.items() if after is not state} | {State.JOINING, State.RESUMING}
    assert reached == set(State)


@pytest.mark.parametrize(("state", "event"), [(State.JOINED, Event.ADMITTED), (State.ENDED, Event.ADMITTED), (State.JOINING, Event.ENDED)])
def test_what_the_table_does_not_list_cannot_happen(state, event):
    """It raises at once, and names both."""
    with pytest.raises(ImpossibleMoveError, match=f"{event.name}.*{state.name}"):
        move(state, event)

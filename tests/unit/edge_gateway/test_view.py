from dataclasses import replace

import pytest

from services.edge_gateway.media.interface import Offer
from services.edge_gateway.protocol import RequestRefusedError
from services.edge_gateway.room import Stream
from services.edge_gateway.view import RoomView, Wanted
from shared.contracts.commands import Role
from shared.contracts.facts import Joined, Left, SessionEnd
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import JoinReply, Peer

GATEWAY = "edge_" + "0" * 16


def session(letter):
    return letter * 32


def stream(letter, owner):
    return Stream(letter, session(owner), owner, {"audio": f"{letter}a", "video": f"{letter}v"})


def joined(letter, seq, role=Role.ANCHOR, incarnation="1.1"):
    return Joined(incarnation=incarnation, seq=seq, session=session(letter), user=letter, role=role, gateway=GATEWAY)


def left(seq, *letters):
    ends = tuple(SessionEnd(session=session(x), user=x, role=Role.ANCHOR, gateway=GATEWAY) for x in letters)
    return Left(incarnation="1.1", seq=seq, reason=LeaveReason.REMOVED, sessions=ends)


@pytest.fixture
def view():
    return RoomView(
        JoinReply(incarnation="1.1", seq=5, roster=(Peer(session=session("a"), user="a"),)), [stream("s", "a"), stream("t", "b")], {}
    )


def test_streams_of_those_who_are_not_in_the_roster_wait_for_their_peer(view):
    """A client never hears of a stream whose owner it does not know."""
    assert [each["stream"] for each in view.describe()["streams"]] == ["s"]
    told = view.joined(joined("b", 6), [stream("s", "a"), stream("t", "b")])
    assert [message["type"] for message in told] == ["peer_joined", "stream_added"]


def test_what_the_roster_holds_is_no_news(view):
    """Nor is what another life of the room did."""
    assert not view.is_news(joined("b", 5))
    assert not view.is_news(joined("b", 9, incarnation="1.2"))
    assert view.is_news(joined("b", 6))


def test_a_leavers_streams_go_first(view):
    """And once."""
    assert [message["type"] for message in view.left(left(6, "a"))] == ["stream_removed", "peer_left"]
    assert view.streams_changed([]) == []


def test_audience_comes_and_goes_unseen(view):
    """Neither is told."""
    assert view.joined(joined("d", 6, Role.AUDIENCE), []) == []
    assert view.left(left(7, "d")) == []


def test_a_choice_counts_when_it_was_taken(view):
    """What the engine refuses leaves the choice before."""
    view.accept(view.want("s", Wanted(frozenset({"audio"}))))
    assert view.want("s", Wanted(frozenset({"audio", "video"}))).tracks == {"sa", "sv"}
    view.joined(joined("b", 6), [stream("s", "a"), stream("t", "b")])
    assert view.want("t", Wanted(frozenset({"video"}))).tracks == {"sa", "tv"}
    with pytest.raises(RequestRefusedError):
        view.want("nothing", Wanted())


def test_a_mute_is_told_of_streams_that_the_client_knows(view):
    """And of those that come with one, nothing is told twice."""
    muted = replace(stream("s", "a"), muted=frozenset({"audio"}))
    other = replace(stream("t", "b"), muted=frozenset({"video"}))
    told = view.streams_changed([muted, other])
    assert [(message["type"], message["stream"], message["muted"]) for message in told] == [("stream_muted", "s", ["audio"])]
    assert view.streams_changed([muted, other]) == []
    told = view.joined(joined("b", 6), [muted, other])
    assert [message["type"] for message in told] == ["peer_joined", "stream_added"]


def test_an_offer_names_only_what_the_client_knows(view):
    """A track whose stream has just gone is not named."""
    told = view.offer(Offer("x", 3, "v=0", {"0": "sa", "1": "gone"}))
    assert told["tracks"] == [{"mid": "0", "stream": "s", "kind": "audio"}]

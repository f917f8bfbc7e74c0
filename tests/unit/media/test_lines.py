"""m-lines: their order never changes, and a mid never carries a second track."""

from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.lines import Lines

OPUS, VP8 = CODECS["opus"], CODECS["VP8"]


def shown(lines: Lines) -> list[tuple[str, str | None, bool]]:
    """Lay out an offer, have it answered, and say what it said."""
    offered = lines.lay_out()
    said = [(line.mid, line.track, line.rejected) for line in offered]
    lines.answered(offered)
    return said


def test_new_tracks_get_new_lines_at_the_end():
    """The first offer has what is wanted, the second adds to it."""
    lines = Lines(8)
    lines.want({"a": OPUS})
    assert lines.changed
    assert shown(lines) == [("0", "a", False)]
    assert not lines.changed
    lines.want({"a": OPUS, "b": VP8})
    assert shown(lines) == [("0", "a", False), ("1", "b", False)]


def test_what_is_not_wanted_becomes_inactive_and_stays():
    """Wanted again, it is another m-line: the old mid is not used again."""
    lines = Lines(8)
    lines.want({"a": OPUS, "b": VP8})
    shown(lines)
    lines.want({"a": OPUS})
    assert shown(lines) == [("0", "a", False), ("1", None, False)]
    lines.want({"a": OPUS, "b": VP8})
    assert shown(lines) == [("0", "a", False), ("1", None, False), ("2", "b", False)]


def test_nothing_new_needs_no_offer():
    """The same wish twice, or one that was dropped before it was offered."""
    lines = Lines(8)
    lines.want({})
    assert not lines.changed
    lines.want({"a": OPUS})
    shown(lines)
    lines.want({"a": OPUS})
    assert not lines.changed


def test_what_is_given_up_before_the_first_offer_leaves_a_dead_line():
    """An offer without any m-line would be refused by Chromium."""
    lines = Lines(8)
    lines.want({"a": VP8})
    lines.want({})
    assert shown(lines) == [("0", None, False)]
    lines.want({"a": VP8})
    assert shown(lines) == [("0", None, False), ("1", "a", False)]


def test_when_all_places_are_taken_dead_ones_are_used_again():
    """First they are offered with port 0, then, that answered, a new m-line takes the place."""
    lines = Lines(3)
    lines.want({"a": OPUS, "b": VP8, "c": OPUS})
    shown(lines)
    lines.want({"b": VP8, "d": VP8})
    assert shown(lines) == [("0", None, False), ("1", "b", False), ("2", None, True)]
    assert lines.changed
    assert shown(lines) == [("0", None, False), ("1", "b", False), ("3", "d", False)]
    assert not lines.changed


@given(st.lists(st.sets(st.sampled_from("abcdefgh"), max_size=3), max_size=30))
def test_every_wish_is_met_within_two_offers(wishes):
    """Whatever came before, no mid is ever used for two tracks, and no place is left or added beyond the limit."""
    lines = Lines(4)
    owners = {}
    for wish in wishes:
        lines.want(dict.fromkeys(sorted(wish), VP8))
        for _ in range(2):
            if lines.changed:
                offered = shown(lines)
                assert len(offered) <= 4
                assert not offered[0][2]
                for mid, track, _ in offered:
                    assert track is None or owners.setdefault(mid, track) == track
        assert not lines.changed
        assert {track for _, track, _ in shown(lines) if track} == wish

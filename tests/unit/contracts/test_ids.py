import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.contracts.ids import InvalidIdError, RoomId, UserId, decode_token, encode_token, parse_room_token, room_token

ROOM = TypeAdapter(RoomId)
USER = TypeAdapter(UserId)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_every_text_survives_its_token_and_no_two_share_one(text):
    """A token decodes to the text it was made of, and has only characters that a subject allows."""
    token = encode_token(text)
    assert decode_token(token) == text
    assert not set(token) & set(".*> \t\r\n")


@pytest.mark.parametrize("token", ["", "a.b", "*", ">", "=2", "=2e", "=61", "=FF", "=C3", "ü", "a b"])
def test_a_token_that_encoding_never_makes_is_refused(token):
    """Two tokens for one text would be two rooms with one name."""
    with pytest.raises(InvalidIdError):
        decode_token(token)


def test_number_and_string_are_two_rooms():
    """123 and "123" differ as values, as JSON and as tokens."""
    assert ROOM.validate_json("123") == 123
    assert ROOM.validate_json('"123"') == "123"
    assert room_token(123) != room_token("123")
    assert parse_room_token(room_token(123)) == 123
    assert parse_room_token(room_token("123")) == "123"


@pytest.mark.parametrize("room", [1, 4294967294, "a.b c>d", "a", "x" * 64, "!#$%&()+-:;<=.>?@[]^_{}|~,", "tab\there"])
def test_rooms_that_trtc_accepts_are_rooms(room):
    """What the vendor's SDK lets through works here, and survives the subject."""
    assert ROOM.validate_python(room) == room
    assert parse_room_token(room_token(room)) == room


@pytest.mark.parametrize(
    "room", [0, -1, 4294967295, 1.5, True, None, "", "x" * 65, "a*b", "a/b", "a'b", 'a"b', "a\\b", "a`b", "ü", "a\u00a0b", [], "a\x00b"]
)
def test_rooms_that_trtc_refuses_are_refused(room):
    """Nothing else is a room."""
    with pytest.raises(ValidationError):
        ROOM.validate_python(room)


@pytest.mark.parametrize("token", ["n0", "n01", "n4294967295", "n", "x1", "s", "s=2A", "n１", "1", "n1 "])
def test_room_tokens_are_canonical(token):
    """A subject names a room in one way only."""
    with pytest.raises(InvalidIdError):
        parse_room_token(token)


@pytest.mark.parametrize("user", ["ann", "用户2 😀", "a.b*c>", "x" * 128, " x"])
def test_user_ids_in_any_script(user):
    """A userId is any text that is not blank."""
    assert USER.validate_python(user) == user


@pytest.mark.parametrize("user", ["", "   ", "a\nb", "a\x00", "\x7f", "\x85", "\ud800", "x" * 129, "用" * 43, 7, None])
def test_user_ids_that_could_mislead_are_refused(user):
    """Blank, too long, or with control characters: a line break would forge the text that a UserSig signs."""
    with pytest.raises(ValidationError):
        USER.validate_python(user)

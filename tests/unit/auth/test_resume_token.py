"""Resume tokens: what nobody has made is refused without asking anybody."""

import pytest

from shared.auth.resume_token import is_genuine, make
from shared.contracts.ids import RoomKey

ROOM = RoomKey(1400000001, 1)
SESSION = "9f" * 16
TOKEN = make("the key", ROOM, SESSION, b"0123456789abcdef")


def test_a_token_is_genuine_for_its_session():
    assert is_genuine(TOKEN, ("the key",), ROOM, SESSION)


@pytest.mark.parametrize(
    ("token", "key", "room", "session"),
    [
        (TOKEN, "another key", ROOM, SESSION),
        (TOKEN, "the key", RoomKey(1400000001, "1"), SESSION),
        (TOKEN, "the key", RoomKey(1400000002, 1), SESSION),
        (TOKEN, "the key", ROOM, "9e" * 16),
        (TOKEN[:-1], "the key", ROOM, SESSION),
        ("x" + TOKEN, "the key", ROOM, SESSION),
        (TOKEN.partition(".")[0], "the key", ROOM, SESSION),
        (TOKEN.replace(".", "..", 1), "the key", ROOM, SESSION),
        ("", "the key", ROOM, SESSION),
        ("用户", "the key", ROOM, SESSION),
    ],
)
def test_anything_else_is_not(token, key, room, session):
    assert not is_genuine(token, (key,), room, session)


def test_during_a_rotation_the_other_key_counts_too():
    assert is_genuine(TOKEN, ("the next key", "the key"), ROOM, SESSION)
    assert not is_genuine(TOKEN, (), ROOM, SESSION)


def test_two_sessions_have_two_tokens_and_two_nonces_too():
    assert len({make("the key", ROOM, session, nonce) for session in (SESSION, "9e" * 16) for nonce in (b"a" * 16, b"b" * 16)}) == 4

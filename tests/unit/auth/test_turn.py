"""TURN credentials: what coturn computes, and nothing that outlives its time."""

import base64
import hashlib
import hmac

from shared.auth.turn import make

SESSION = "9f" * 16


def test_a_credential_is_what_the_server_computes():
    """The password is the base64 of HMAC-SHA1 over the user name; this one was computed with OpenSSL's command line."""
    assert make("north", "abc", 1700000000) == ("1700000000:abc", "g5HTmCBrPDhYXFpM/1dHUtfE+c4=")


def test_the_user_name_begins_with_the_expiry():
    """The server reads the number before the colon, and refuses when it has passed."""
    username, password = make("the secret", SESSION, 1_700_000_300)
    expires, _, session = username.partition(":")
    assert (int(expires), session) == (1_700_000_300, SESSION)
    assert base64.b64decode(password) == hmac.new(b"the secret", username.encode(), hashlib.sha1).digest()


def test_nobody_makes_a_later_one_of_it():
    """Another time, another session or another secret is another password."""
    passwords = {make(secret, session, at).password for secret in ("a", "b") for session in ("c", "d") for at in (1, 2)}
    assert len(passwords) == 8

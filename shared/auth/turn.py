"""Credentials for a TURN server that shares a secret with us, and nothing else (draft-uberti-behave-turn-rest-00).

coturn calls it ``use-auth-secret``.
Whoever shows them may have packets relayed until they expire; the server asks nobody, and forgets nobody earlier. Where it relays to
is for its own configuration to say.
"""

import base64
import hmac
from typing import NamedTuple


class TurnCredential(NamedTuple):
    """A user name that says until when it is good, and the password that proves that we said so."""

    username: str
    password: str


def make(secret: str, session: str, expires_at: int) -> TurnCredential:
    """Make a session's credential.

    Args:
        secret: the server's.
        session: its id, so that the server's log and quota tell sessions apart; without a colon.
        expires_at: Unix time in seconds.
    """
    username = f"{expires_at}:{session}"
    password = base64.b64encode(hmac.digest(secret.encode(), username.encode(), "sha1"))
    return TurnCredential(username, password.decode())

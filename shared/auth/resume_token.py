"""Resume tokens: a secret that names nothing, with a seal that says for which session it was made.

The seal lets any gateway of the same app refuse what nobody has made, without asking anybody. Who may resume is still for the
registry to say, which knows the token's digest.
"""

import base64
import hashlib
import hmac

from shared.contracts.ids import RoomKey, room_token

_SEAL_BYTES = 16


def make(secret_key: str, room: RoomKey, session: str, nonce: bytes) -> str:
    """Make a session's token.

    Args:
        secret_key: of the app.
        room: where the session is.
        session: its id.
        nonce: 16 or more random bytes, used once.
    """
    secret = _encode(nonce)
    return f"{secret}.{_seal(secret_key, room, session, secret)}"


def is_genuine(token: str, secret_keys: tuple[str, ...], room: RoomKey, session: str) -> bool:
    """Say whether a token was made for that session with one of those keys."""
    secret, _, seal = token.partition(".")
    return any(hmac.compare_digest(seal.encode(), _seal(key, room, session, secret).encode()) for key in secret_keys)


def _seal(secret_key: str, room: RoomKey, session: str, secret: str) -> str:
    text = f"stagedoor resume\n{room.app}\n{room_token(room.room)}\n{session}\n{secret}"
    return _encode(hmac.digest(secret_key.encode(), text.encode(), hashlib.sha256)[:_SEAL_BYTES])


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

r"""UserSig: the text with which a back end vouches for a userId, made and checked as the vendor's libraries do.

A UserSig is JSON, deflated, in base64 with another alphabet. Its ``TLS.sig`` is an HMAC-SHA256 over lines made of the
other fields::

    TLS.identifier:<userId>\nTLS.sdkappid:<n>\nTLS.time:<t>\nTLS.expire:<e>\n[TLS.userbuf:<base64>\n]

Libraries differ in the order and the spacing of the JSON and in how they deflate, so a check parses and signs again
instead of comparing texts.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import zlib
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.auth.apps import App, Apps
from shared.contracts.errors import StagedoorError

MAX_CHARS: Final = 4096
"""Of a UserSig. Real ones have 200 to 1,000: the longest userId, escaped, and a userbuf included."""
MAX_INFLATED: Final = 8192
CLOCK_SKEW_SECONDS: Final = 300
"""How far the signer's clock may be ahead of ours: as far as the server API's. The expiry has no such tolerance."""

EXPIRED: Final = 70001
EMPTY: Final = 70002
INVALID: Final = 70003
WRONG_USER: Final = 70013
WRONG_APP: Final = 70014
UNKNOWN_APP: Final = 70020

_ALPHABET = str.maketrans("+/=", "*-_")
_ALPHABET_BACK = str.maketrans("*-_", "+/=")
_TEXT = re.compile(r"[A-Za-z0-9*-]+_{0,2}", re.ASCII)
_LINE = r"^[^\r\n]*$"
_BASE64 = r"^[A-Za-z0-9+/=]*$"


class UserSigError(StagedoorError):
    """A UserSig that is refused, with the vendor's code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Content(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    ver: Literal["2.0"] = Field(alias="TLS.ver")
    # The signed text is made of lines: with a line break inside, one UserSig could be read as another.
    identifier: Annotated[str, Field(pattern=_LINE)] = Field(alias="TLS.identifier")
    sdkappid: Annotated[int, Field(ge=1, le=4294967295)] = Field(alias="TLS.sdkappid")
    time: Annotated[int, Field(ge=0, lt=2**53)] = Field(alias="TLS.time")
    expire: Annotated[int, Field(ge=0, lt=2**53)] = Field(alias="TLS.expire")
    userbuf: Annotated[str, Field(pattern=_BASE64)] | None = Field(default=None, alias="TLS.userbuf")
    sig: Annotated[str, Field(pattern=_BASE64)] = Field(alias="TLS.sig")


def sign(app: App, user: str, now: int, expire: int) -> str:
    """Make a UserSig.

    Args:
        app: whose key signs.
        user: the userId it vouches for.
        now: Unix time in seconds.
        expire: seconds it is valid for.

    Raises:
        ValueError: the userId has a line break, which would make the signed text ambiguous.
    """
    if "\n" in user or "\r" in user:
        raise ValueError("a userId has no line breaks")
    content = {
        "TLS.ver": "2.0",
        "TLS.identifier": user,
        "TLS.sdkappid": app.sdk_app_id,
        "TLS.time": now,
        "TLS.expire": expire,
        "TLS.sig": _mac(app.secret_key, _signed_text(user, app.sdk_app_id, now, expire)),
    }
    raw = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return base64.b64encode(zlib.compress(raw)).decode().translate(_ALPHABET)


def verify(sig: str, user: str, sdk_app_id: int, apps: Apps, now: float) -> None:
    """Check that a UserSig vouches for this user of this app, now.

    Args:
        sig: the UserSig.
        user: who the caller says to be.
        sdk_app_id: of which app.
        apps: the apps there are.
        now: Unix time in seconds.

    Raises:
        UserSigError: it does not.
    """
    content = _decode(sig)
    app = apps.app(sdk_app_id)
    if app is None:
        raise UserSigError(UNKNOWN_APP, f"sdkAppId {sdk_app_id} does not exist")
    if content.sdkappid != sdk_app_id:
        raise UserSigError(WRONG_APP, "userSig is of another sdkAppId")
    # Only what is signed may say more than that the signature is wrong.
    text = _signed_text(content.identifier, content.sdkappid, content.time, content.expire, content.userbuf)
    if not any(hmac.compare_digest(_mac(key, text), content.sig) for key in app.verifying_keys):
        raise UserSigError(INVALID, "userSig has a wrong signature")
    if content.identifier != user:
        raise UserSigError(WRONG_USER, "userSig is of another userId")
    if content.time > now + CLOCK_SKEW_SECONDS:
        raise UserSigError(INVALID, "userSig is from the future: compare the clocks")
    if now >= content.time + content.expire:
        raise UserSigError(EXPIRED, "userSig expired")


def _signed_text(user: str, sdk_app_id: int, time: int, expire: int, userbuf: str | None = None) -> str:
    text = f"TLS.identifier:{user}\nTLS.sdkappid:{sdk_app_id}\nTLS.time:{time}\nTLS.expire:{expire}\n"
    return text if userbuf is None else f"{text}TLS.userbuf:{userbuf}\n"


def _mac(key: str, text: str) -> str:
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()


def _decode(sig: str) -> _Content:
    if not sig:
        raise UserSigError(EMPTY, "userSig is empty")
    if len(sig) > MAX_CHARS or not _TEXT.fullmatch(sig):
        raise UserSigError(INVALID, "userSig is not in its base64 alphabet, or too long")
    try:
        # A bound on what comes out: a few bytes can inflate to gigabytes.
        inflater = zlib.decompressobj()
        raw = inflater.decompress(base64.b64decode(sig.translate(_ALPHABET_BACK), validate=True), MAX_INFLATED)
    except (binascii.Error, zlib.error) as error:
        raise UserSigError(INVALID, "userSig cannot be decoded: was it cut off?") from error
    if not inflater.eof or inflater.unused_data:
        raise UserSigError(INVALID, "userSig is cut off, or too long")
    try:
        return _Content.model_validate_json(raw)
    except ValidationError as error:
        # Not chained: the cause would carry the signature into logs.
        fields = ", ".join(".".join(map(str, e["loc"])) or "JSON" for e in error.errors(include_input=False))
        raise UserSigError(INVALID, f"userSig has a wrong content: {fields[:200]}") from None

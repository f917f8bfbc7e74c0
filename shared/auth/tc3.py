"""TC3-HMAC-SHA256: whether a request to the server API was signed by a credential we know, and signing one.

What is accepted is what the vendor's clients really send, and they differ:

- the ``service`` in the Credential scope is ``trtc`` from some, a piece of the endpoint from others: it is taken as it comes;
- ``host`` is signed with the port or without it, whatever the Host header says, and may be a whole URL;
- signed header values are lower-cased or not;
- the query is signed as it stands on the wire, still encoded, and only of GET;
- with ``X-TC-Content-SHA256: UNSIGNED-PAYLOAD`` the body is not signed at all.

None of this weakens the signature: each variant is another text that only the holder of the SecretKey can sign.

Only what a request lists in SignedHeaders is protected, and clients list content-type and host; the action is not
among them. That is the scheme, and the reason to run it under TLS.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from shared.auth.apps import App, Apps
from shared.contracts.errors import StagedoorError

MAX_AGE_SECONDS: Final = 300
"""How far a request's timestamp may be from our clock, either way."""

INVALID_AUTHORIZATION: Final = "AuthFailure.InvalidAuthorization"
SECRET_ID_NOT_FOUND: Final = "AuthFailure.SecretIdNotFound"  # noqa: S105 -- a code
SIGNATURE_EXPIRE: Final = "AuthFailure.SignatureExpire"
SIGNATURE_FAILURE: Final = "AuthFailure.SignatureFailure"
MISSING_PARAMETER: Final = "MissingParameter"

_ALGORITHM = "TC3-HMAC-SHA256"
_REQUIRED = {"content-type", "host"}
_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 +Credential=(?P<secret_id>[^/,\s]{1,128})/(?P<date>\d{4}-\d{2}-\d{2})/(?P<service>[^,\s]{1,256})/tc3_request"
    r", *SignedHeaders=(?P<names>[a-z0-9-]+(?:;[a-z0-9-]+){0,31}), *Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)
_TIMESTAMP = re.compile(r"0|[1-9][0-9]{0,11}", re.ASCII)
_PORT = re.compile(r":[0-9]+\Z", re.ASCII)


class Tc3Error(StagedoorError):
    """A request that is not authenticated, with the vendor's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class HttpRequest:
    """The parts of an HTTP request that can be signed, as they stood on the wire. Its path is always ``/``."""

    method: str
    query: bytes
    """Still encoded, without the question mark."""
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header's value without the white space around it; of a repeated one the values, with commas between."""
        values = [value for key, value in self.headers if key.lower() == name.encode()]
        return b",".join(values).decode("latin-1").strip(" \t") if values else None


class Caller(NamedTuple):
    """Who signed a request."""

    app: App
    secret_id: str
    fingerprint: str
    """64 hexadecimal digits: the same for every replay of what was signed, whatever its other headers say.

    It covers the credential, the signed string and the body; or, where an ``Idempotency-Key`` is among the signed
    headers, the credential and that key.
    """


class _Claim(NamedTuple):
    secret_id: str
    date: str
    service: str
    names: str
    signature: str


def verify(request: HttpRequest, apps: Apps, now: float) -> Caller:
    """Find out who signed a request.

    Args:
        request: as it came.
        apps: the apps there are, with their credentials.
        now: Unix time in seconds.

    Raises:
        Tc3Error: nobody we know, not now, or not this.
    """
    claim = _claim(request)
    timestamp = _timestamp(request)
    found = apps.credential(claim.secret_id)
    if found is None:
        raise Tc3Error(SECRET_ID_NOT_FOUND, "The SecretId is not found, please ensure that your SecretId is correct.")
    if abs(now - timestamp) > MAX_AGE_SECONDS:
        raise Tc3Error(SIGNATURE_EXPIRE, f"The timestamp is more than {MAX_AGE_SECONDS} seconds off the server's clock.")
    if claim.date != datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d"):
        raise Tc3Error(SIGNATURE_FAILURE, "The date in the Credential is not the UTC date of the timestamp.")
    app, secret_key = found
    texts = (_string_to_sign(claim, timestamp, canonical) for canonical in _canonical(request, claim))
    signed = next((text for text in texts if hmac.compare_digest(claim.signature, _sign(secret_key, claim, text))), None)
    if signed is None:
        raise Tc3Error(SIGNATURE_FAILURE, "The provided credentials could not be validated. Please check your signature is correct.")
    return Caller(app, claim.secret_id, _fingerprint(request, claim, signed))


def sign(secret_id: str, secret_key: str, *, host: str, headers: Mapping[str, str], body: bytes, now: int) -> dict[str, str]:
    """Sign a ``POST /``, as the vendor's clients do.

    Args:
        secret_id: names the key.
        secret_key: signs.
        host: the Host header that the server will see.
        headers: what else is sent; of it ``Content-Type`` is signed and must be there.
        body: as it will be sent.
        now: Unix time in seconds.

    Returns:
        All headers to send.
    """
    date = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    sent = {**headers, "Host": host, "X-TC-Timestamp": str(now)}
    request = HttpRequest("POST", b"", [(name.lower().encode(), value.encode()) for name, value in sent.items()], body)
    claim = _Claim(secret_id, date, "trtc", "content-type;host", "")
    signature = _sign(secret_key, claim, _string_to_sign(claim, now, next(_canonical(request, claim))))
    scope = f"{secret_id}/{date}/{claim.service}/tc3_request"
    return {**sent, "Authorization": f"{_ALGORITHM} Credential={scope}, SignedHeaders={claim.names}, Signature={signature}"}


def _claim(request: HttpRequest) -> _Claim:
    header = request.header("authorization")
    if not header:
        raise Tc3Error(
            INVALID_AUTHORIZATION, f"There is no Authorization header: requests are signed with {_ALGORITHM}, and with no older method."
        )
    match = _AUTHORIZATION.fullmatch(header)
    if match is None:
        raise Tc3Error(INVALID_AUTHORIZATION, f"The Authorization header is not of the form {_ALGORITHM} demands.")
    claim = _Claim(**match.groupdict())
    names = claim.names.split(";")
    if not _REQUIRED.issubset(names) or len(set(names)) != len(names):
        raise Tc3Error(INVALID_AUTHORIZATION, "SignedHeaders has content-type and host, and each name once.")
    return claim


def _timestamp(request: HttpRequest) -> int:
    header = request.header("x-tc-timestamp")
    if header is None:
        raise Tc3Error(MISSING_PARAMETER, "The request is missing a required parameter `Timestamp`.")
    if not _TIMESTAMP.fullmatch(header):
        raise Tc3Error(SIGNATURE_EXPIRE, "X-TC-Timestamp is not a Unix time in seconds.")
    return int(header)


def _canonical(request: HttpRequest, claim: _Claim) -> Iterator[str]:
    """Yield each text that a client may have signed for this request."""
    unsigned = request.header("x-tc-content-sha256") == "UNSIGNED-PAYLOAD"
    payload = hashlib.sha256(b"UNSIGNED-PAYLOAD" if unsigned else request.body).hexdigest()
    query = request.query.decode("latin-1") if request.method == "GET" else ""
    for headers in _signed_headers(request, claim.names.split(";")):
        yield f"{request.method}\n/\n{query}\n{headers}\n{claim.names}\n{payload}"


def _signed_headers(request: HttpRequest, names: list[str]) -> Iterator[str]:
    values = {name: request.header(name) for name in names}
    if None in values.values():
        raise Tc3Error(SIGNATURE_FAILURE, "A header in SignedHeaders is not in the request.")
    host = values["host"] or ""
    for signed_host in dict.fromkeys((host, _PORT.sub("", host))):
        lines = "".join(f"{name}:{signed_host if name == 'host' else value}\n" for name, value in values.items())
        yield from dict.fromkeys((lines, lines.lower()))


def _string_to_sign(claim: _Claim, timestamp: int, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    return f"{_ALGORITHM}\n{timestamp}\n{claim.date}/{claim.service}/tc3_request\n{digest}"


def _sign(secret_key: str, claim: _Claim, text: str) -> str:
    key = f"TC3{secret_key}".encode()
    for part in (claim.date, claim.service, "tc3_request"):
        key = hmac.digest(key, part.encode("latin-1"), hashlib.sha256)
    return hmac.new(key, text.encode("latin-1"), hashlib.sha256).hexdigest()


def _fingerprint(request: HttpRequest, claim: _Claim, signed: str) -> str:
    key = request.header("idempotency-key") if "idempotency-key" in claim.names.split(";") else None
    parts = [claim.secret_id.encode(), signed.encode("latin-1"), request.body] if key is None else [claim.secret_id.encode(), key.encode()]
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()

import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest
from tencentcloud.common.sign import Sign

from shared.auth import tc3
from shared.auth.apps import App, Apps
from shared.auth.tc3 import HttpRequest, Tc3Error

RECORDED = json.loads(Path(__file__).with_name("tc3_requests.json").read_text())
APP = App(1400000001, "sig-key", {RECORDED["secret_id"]: RECORDED["secret_key"]})
APPS = Apps([APP, App(2, "k", {"AKIDOTHER": "other"})])
REQUESTS = {
    row["name"]: HttpRequest(
        row["method"],
        row["query"].encode(),
        tuple((name.encode(), value.encode()) for name, value in row["headers"]),
        row["body"].encode(),
    )
    for row in RECORDED["requests"]
}
UNSIGNED = {"python-skip", "python-old", "python-old-get", "node-old"}
SIGNED = sorted(set(REQUESTS) - UNSIGNED)


def now_of(request):
    return int(request.header("x-tc-timestamp") or 0)


def with_header(request, name, value):
    rest = [(key, old) for key, old in request.headers if key.lower() != name.encode()]
    return dataclasses.replace(request, headers=rest if value is None else [*rest, (name.encode(), value.encode("latin-1"))])


def refused(request, now=None):
    with pytest.raises(Tc3Error) as caught:
        tc3.verify(request, APPS, now_of(request) if now is None else now)
    return caught.value.code


@pytest.mark.parametrize("name", SIGNED)
def test_what_the_vendors_clients_send_is_accepted(name):
    request = REQUESTS[name]
    caller = tc3.verify(request, APPS, now_of(request))
    assert (caller.app, caller.secret_id) == (APP, RECORDED["secret_id"])
    assert re.fullmatch("[0-9a-f]{64}", caller.fingerprint)


@pytest.mark.parametrize("name", sorted(UNSIGNED))
def test_unsigned_and_older_signatures_are_refused(name):
    assert refused(REQUESTS[name]) == "AuthFailure.InvalidAuthorization"


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("off", [-301, 301, 10**6, -(10**9)])
def test_more_than_five_minutes_off_is_expired(name, off):
    assert refused(REQUESTS[name], now_of(REQUESTS[name]) + off) == "AuthFailure.SignatureExpire"


@pytest.mark.parametrize("off", [-300, 300])
def test_up_to_five_minutes_off_is_accepted(off):
    request = REQUESTS["python-post"]
    tc3.verify(request, APPS, now_of(request) + off)


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("header", ["content-type", "host"])
def test_another_signed_header_is_another_signature(name, header):
    assert refused(with_header(REQUESTS[name], header, "elsewhere")) == "AuthFailure.SignatureFailure"
    assert refused(with_header(REQUESTS[name], header, None)) == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize("name", [name for name in SIGNED if "unsigned" not in name])
def test_another_body_is_another_signature(name):
    request = REQUESTS[name]
    assert refused(dataclasses.replace(request, body=request.body + b" ")) == "AuthFailure.SignatureFailure"


def test_an_unsigned_payload_is_not_looked_at_and_only_when_signed_so():
    request = REQUESTS["python-unsigned"]
    tc3.verify(dataclasses.replace(request, body=b"{}"), APPS, now_of(request))
    assert refused(with_header(request, "x-tc-content-sha256", None)) == "AuthFailure.SignatureFailure"
    assert refused(with_header(REQUESTS["python-post"], "x-tc-content-sha256", "UNSIGNED-PAYLOAD")) == "AuthFailure.SignatureFailure"


def test_the_query_is_signed_as_it_stands_on_the_wire():
    request = REQUESTS["python-get-str"]
    assert b"%" in request.query
    assert refused(dataclasses.replace(request, query=request.query + b"&UserIds.1=x")) == "AuthFailure.SignatureFailure"
    assert refused(dataclasses.replace(request, query=request.query.replace(b"+", b"%20"))) == "AuthFailure.SignatureFailure"


def test_another_method_is_another_signature():
    assert refused(dataclasses.replace(REQUESTS["python-get"], method="POST")) == "AuthFailure.SignatureFailure"


def test_another_time_within_the_limits_is_another_signature():
    request = REQUESTS["python-post"]
    later = with_header(request, "x-tc-timestamp", str(now_of(request) + 1))
    assert refused(later) == "AuthFailure.SignatureFailure"


def test_the_credential_of_one_is_not_the_credential_of_another():
    request = REQUESTS["python-post"]
    header = request.header("authorization")
    assert (
        refused(with_header(request, "authorization", header.replace(RECORDED["secret_id"], "AKIDOTHER"))) == "AuthFailure.SignatureFailure"
    )
    assert refused(with_header(request, "authorization", header.replace(RECORDED["secret_id"], "NOBODY"))) == "AuthFailure.SecretIdNotFound"


def test_without_a_timestamp_nothing_is_verified():
    assert refused(with_header(REQUESTS["python-post"], "x-tc-timestamp", None), now=0) == "MissingParameter"


@pytest.mark.parametrize("value", ["", "now", "-1", "1e9", "1795441937.0", "01795441937", "9" * 40, "\xb2"])
def test_a_timestamp_is_seconds(value):
    assert refused(with_header(REQUESTS["python-post"], "x-tc-timestamp", value), now=0) == "AuthFailure.SignatureExpire"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "SKIP",
        "Bearer x",
        "TC3-HMAC-SHA256",
        "TC3-HMAC-SHA256 Credential=A/2026-11-23/trtc/tc3_request, SignedHeaders=content-type;host, Signature=00",
        "TC3-HMAC-SHA256 Credential=A/2026-11-23/trtc/aws4_request, SignedHeaders=content-type;host, Signature=" + "0" * 64,
        "TC3-HMAC-SHA256 Credential=A/20261123/trtc/tc3_request, SignedHeaders=content-type;host, Signature=" + "0" * 64,
        "TC3-HMAC-SHA256 Credential=A/2026-11-23/trtc/tc3_request, SignedHeaders=host, Signature=" + "0" * 64,
        "TC3-HMAC-SHA256 Credential=A/2026-11-23/trtc/tc3_request, SignedHeaders=content-type, Signature=" + "0" * 64,
        "TC3-HMAC-SHA256 Credential=A/2026-11-23/trtc/tc3_request, SignedHeaders=content-type;host;host, Signature=" + "0" * 64,
        "TC3-HMAC-SHA256 Credential=A/2026-11-23/trtc/tc3_request, SignedHeaders=content-type;host, Signature=" + "é" * 64,
        "TC3-HMAC-SHA256 Credential=" + "A" * 9000 + "/2026-11-23/trtc/tc3_request, SignedHeaders=content-type;host, Signature=" + "0" * 64,
    ],
)
def test_a_malformed_authorization_has_a_code_of_its_own(value):
    assert refused(with_header(REQUESTS["python-post"], "authorization", value)) == "AuthFailure.InvalidAuthorization"


def test_two_authorizations_are_none():
    request = REQUESTS["python-post"]
    header = next(pair for pair in request.headers if pair[0] == b"Authorization")
    assert refused(dataclasses.replace(request, headers=[*request.headers, header])) == "AuthFailure.InvalidAuthorization"


def signed(*, date="2026-11-23", service="trtc", names="content-type;host", lines="content-type:application/json\nhost:h:1\n", extra=()):
    """Sign by hand what no recorded client sends: the scheme written down a second time."""
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(b'{}').hexdigest()}"
    text = f"TC3-HMAC-SHA256\n1795441937\n{date}/{service}/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = hmac.digest(("TC3" + RECORDED["secret_key"]).encode(), date.encode(), "sha256")
    key = hmac.digest(hmac.digest(key, service.encode(), "sha256"), b"tc3_request", "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    scope = f"{RECORDED['secret_id']}/{date}/{service}/tc3_request"
    authorization = f"TC3-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"
    headers = [
        (b"content-type", b"application/json"),
        (b"host", b"h:1"),
        (b"x-tc-timestamp", b"1795441937"),
        (b"authorization", authorization.encode()),
    ]
    return HttpRequest("POST", b"", [*headers, *extra], b"{}")


@pytest.mark.parametrize(
    "request_",
    [
        signed(),
        signed(service="http://127"),
        signed(lines="content-type:application/json\nhost:h\n"),
        signed(
            names="content-type;host;x-tc-action",
            lines="content-type:application/json\nhost:h:1\nx-tc-action:removeuser\n",
            extra=[(b"X-TC-Action", b"RemoveUser")],
        ),
        signed(
            names="content-type;host;x-tc-action",
            lines="content-type:application/json\nhost:h:1\nx-tc-action:RemoveUser\n",
            extra=[(b"X-TC-Action", b" RemoveUser ")],
        ),
    ],
    ids=["plain", "service with slashes", "host without port", "lower-cased action", "action as it is"],
)
def test_each_way_of_signing_that_is_documented_is_accepted(request_):
    assert tc3.verify(request_, APPS, 1795441937).secret_id == RECORDED["secret_id"]


def test_the_date_of_the_scope_is_the_utc_date_of_the_timestamp():
    assert refused(signed(date="2026-11-24")) == "AuthFailure.SignatureFailure"


def test_a_signed_header_that_was_changed_on_the_way_is_noticed():
    request = signed(
        names="content-type;host;x-tc-action",
        lines="content-type:application/json\nhost:h:1\nx-tc-action:removeuser\n",
        extra=[(b"X-TC-Action", b"DismissRoom")],
    )
    assert refused(request) == "AuthFailure.SignatureFailure"


def keyed(body, *, key=None, now=1795414334):
    """A request as a caller of ours would sign it, with or without an idempotency key among the signed headers."""
    names = "content-type;host" + (";idempotency-key" if key else "")
    headers = {"content-type": "application/json", "host": "h"} | ({"idempotency-key": key} if key else {})
    lines = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    date = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y-%m-%d")
    text = f"TC3-HMAC-SHA256\n{now}\n{date}/trtc/tc3_request\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = Sign.sign_tc3(RECORDED["secret_key"], date, "trtc", text)
    scope = f"Credential={RECORDED['secret_id']}/{date}/trtc/tc3_request"
    authorization = f"TC3-HMAC-SHA256 {scope}, SignedHeaders={names}, Signature={signature}"
    every = headers | {"x-tc-timestamp": str(now), "authorization": authorization}
    return tc3.HttpRequest("POST", b"", [(name.encode(), value.encode()) for name, value in every.items()], body)


def fingerprint(request, now=1795414334):
    return tc3.verify(request, APPS, now).fingerprint


def test_a_signed_request_has_one_fingerprint_whatever_else_it_says():
    """What is not signed does not count; body and time do."""
    request = keyed(b"{}")
    assert fingerprint(request) == fingerprint(with_header(request, "x-tc-traceid", "another"))
    assert fingerprint(request) != fingerprint(keyed(b"{} "))
    assert fingerprint(request) != fingerprint(keyed(b"{}", now=1795414335))


def test_an_idempotency_key_counts_if_it_is_signed():
    """Then it alone names the command, whenever and however often it is sent; not signed, it is anybody's word."""
    assert fingerprint(keyed(b"{}", key="k1")) == fingerprint(keyed(b"{}", key="k1", now=1795414335))
    assert fingerprint(keyed(b"{}", key="k1")) != fingerprint(keyed(b"{}", key="k2"))
    assert fingerprint(keyed(b"{}")) == fingerprint(with_header(keyed(b"{}"), "idempotency-key", "k1"))


def test_what_we_sign_is_what_we_accept():
    """And nothing else: another body, and the signature does not count."""
    ((secret_id, secret_key),) = APP.credentials.items()
    signed = tc3.sign(
        secret_id, secret_key, host="a.example:8081", headers={"Content-Type": "application/json"}, body=b"{}", now=1_700_000_000
    )
    headers = tuple((name.lower().encode(), value.encode()) for name, value in signed.items())
    request = HttpRequest("POST", b"", headers, b"{}")
    assert tc3.verify(request, APPS, 1_700_000_000).app == APP
    with pytest.raises(Tc3Error):
        tc3.verify(dataclasses.replace(request, body=b"{ }"), APPS, 1_700_000_000)

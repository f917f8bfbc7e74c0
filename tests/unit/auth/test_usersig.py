import base64
import json
import time
import zlib
from pathlib import Path

import pytest
import TLSSigAPIv2
from hypothesis import given
from hypothesis import strategies as st

from shared.auth import usersig
from shared.auth.apps import App, Apps
from shared.auth.usersig import UserSigError

VECTORS = json.loads(Path(__file__).with_name("usersig_vectors.json").read_text())
NOW = 1_700_000_000
APP = App(VECTORS["sdkappid"], VECTORS["secret_key"])
OTHER = App(1400000001, "other-key")
APPS = Apps([APP, OTHER])


def pack(raw):
    """Encode anything as a UserSig is encoded."""
    return base64.b64encode(zlib.compress(raw)).decode().replace("+", "*").replace("/", "-").replace("=", "_")


def unpack(sig):
    return json.loads(zlib.decompress(base64.b64decode(sig.replace("*", "+").replace("-", "/").replace("_", "="))))


def changed(**fields):
    content = unpack(usersig.sign(APP, "u1", NOW, 600))
    for name, value in fields.items():
        content[f"TLS.{name}"] = value
    return pack(json.dumps({name: value for name, value in content.items() if value is not ...}).encode())


def code_of(sig, user="u1", app=APP.sdk_app_id, now=NOW):
    with pytest.raises(UserSigError) as caught:
        usersig.verify(sig, user, app, APPS, now)
    return caught.value.code


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_what_the_vendors_libraries_made_is_accepted_from_its_first_to_its_last_second(vector):
    user = vector["decoded"]["TLS.identifier"]
    end = vector["clock"] + vector["decoded"]["TLS.expire"]
    usersig.verify(vector["sig"], user, APP.sdk_app_id, APPS, vector["clock"])
    usersig.verify(vector["sig"], user, APP.sdk_app_id, APPS, end - 1)
    assert code_of(vector["sig"], user, now=end) == usersig.EXPIRED


@pytest.mark.parametrize("vector", [v for v in VECTORS["vectors"] if "TLS.userbuf" not in v["decoded"]], ids=lambda vector: vector["name"])
def test_we_sign_the_same_content_as_the_vendors_libraries(vector):
    ours = usersig.sign(APP, vector["decoded"]["TLS.identifier"], vector["clock"], vector["decoded"]["TLS.expire"])
    assert unpack(ours) == vector["decoded"]


@given(user=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=32), expire=st.integers(1, 10**9))
def test_the_vendors_library_and_ours_agree(user, expire):
    now = int(time.time())
    theirs = TLSSigAPIv2.TLSSigAPIv2(APP.sdk_app_id, APP.secret_key)
    usersig.verify(theirs.gen_sig(user, expire), user, APP.sdk_app_id, APPS, now)
    usersig.verify(theirs.gen_sig_with_userbuf(user, expire, b"\x00\xff"), user, APP.sdk_app_id, APPS, now)
    usersig.verify(usersig.sign(APP, user, now, expire), user, APP.sdk_app_id, APPS, now)


@pytest.mark.parametrize(
    ("user", "app", "now", "code"),
    [
        ("u2", APP.sdk_app_id, NOW, 70013),
        ("U1", APP.sdk_app_id, NOW, 70013),
        ("u1", OTHER.sdk_app_id, NOW, 70014),
        ("u1", 1, NOW, 70020),
        ("u1", APP.sdk_app_id, NOW + 600, 70001),
        ("u1", APP.sdk_app_id, NOW - 301, 70003),
    ],
)
def test_a_usersig_is_for_one_user_of_one_app_for_its_time(user, app, now, code):
    assert code_of(usersig.sign(APP, "u1", NOW, 600), user, app, now) == code


def test_the_signers_clock_may_be_five_minutes_ahead():
    usersig.verify(usersig.sign(APP, "u1", NOW + usersig.CLOCK_SKEW_SECONDS, 600), "u1", APP.sdk_app_id, APPS, NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {"identifier": "u2"},
        {"time": NOW + 1},
        {"expire": 10**9},
        {"userbuf": "YWJj"},
        {"sig": base64.b64encode(bytes(32)).decode()},
        {"sig": ""},
    ],
)
def test_what_was_changed_after_signing_is_forged(fields):
    user = fields.get("identifier", "u1")
    assert code_of(changed(**fields), user) == usersig.INVALID


def test_a_usersig_of_another_key_is_forged():
    assert code_of(usersig.sign(App(APP.sdk_app_id, "guess"), "u1", NOW, 600)) == usersig.INVALID


def test_forged_says_nothing_about_user_or_time():
    forged = usersig.sign(App(APP.sdk_app_id, "guess"), "u1", NOW, 600)
    assert code_of(forged, "u2", now=NOW + 10**6) == usersig.INVALID


@pytest.mark.parametrize(
    "fields",
    [
        {"ver": "1.0"},
        {"ver": 2.0},
        {"sdkappid": str(APP.sdk_app_id)},
        {"sdkappid": True},
        {"time": float(NOW)},
        {"time": str(NOW)},
        {"time": -1},
        {"expire": "600"},
        {"expire": 10**30},
        {"expire": None},
        {"identifier": 1},
        {"identifier": "u1\nTLS.sdkappid:1400000000"},
        {"userbuf": "not base64\n"},
        {"sig": 1},
        {"sig": "é"},
        {"sig": ...},
        {"time": ...},
        {"more": 1},
    ],
)
def test_a_content_of_another_shape_is_refused(fields):
    assert code_of(changed(**fields)) == usersig.INVALID


GOOD = usersig.sign(APP, "u1", NOW, 600)


@pytest.mark.parametrize(
    "sig",
    [
        GOOD[:-10],
        GOOD[:40],
        GOOD + "AAAA",
        " " + GOOD,
        GOOD + "\n",
        GOOD[:-4] + "AA==",
        GOOD[:-4] + "A+/A",
        "é" * 40,
        "A",
        "____",
        pack(b""),
        pack(b"[]"),
        pack(b"null"),
        pack(b"{"),
        pack(b"\xff\xfe"),
        pack(b"[" * 4000),
        pack(b'{"TLS.time":' + b"9" * 5000 + b"}"),
        pack(b'{"TLS.identifier":"\\ud800"}'),
    ],
)
def test_what_is_no_usersig_is_refused(sig):
    assert code_of(sig) == usersig.INVALID


def test_an_empty_usersig_has_a_code_of_its_own():
    assert code_of("") == 70002


def test_a_bomb_is_refused_before_it_inflates():
    # Everything in it is right, and there is too much of it.
    bomb = pack(json.dumps(unpack(GOOD)).encode() + b" " * 2_000_000)
    assert len(bomb) <= usersig.MAX_CHARS
    assert code_of(bomb) == usersig.INVALID


def test_an_oversized_text_is_refused_unread():
    assert code_of("A" * (usersig.MAX_CHARS + 1)) == usersig.INVALID


def test_the_longest_user_id_fits_even_escaped():
    user = "用" * 42
    theirs = TLSSigAPIv2.TLSSigAPIv2(APP.sdk_app_id, APP.secret_key).gen_sig_with_userbuf(user, 600, bytes(range(256)))
    usersig.verify(theirs, user, APP.sdk_app_id, APPS, time.time())


@pytest.mark.parametrize("user", ["a\nb", "a\rb", "a\n"])
def test_a_signed_user_id_with_a_line_break_is_refused(user):
    theirs = TLSSigAPIv2.TLSSigAPIv2(APP.sdk_app_id, APP.secret_key).gen_sig(user, 600)
    assert code_of(theirs, user, now=time.time()) == usersig.INVALID


@pytest.mark.parametrize("user", ["a\nb", "a\rb"])
def test_a_user_id_with_a_line_break_is_not_signed(user):
    with pytest.raises(ValueError, match="line break"):
        usersig.sign(APP, user, NOW, 600)


@given(st.text(alphabet="ABCabc012*-_", max_size=200))
def test_random_text_is_refused_and_nothing_else_happens(text):
    with pytest.raises(UserSigError):
        usersig.verify(text, "u1", APP.sdk_app_id, APPS, NOW)


def test_during_a_rotation_usersigs_of_both_keys_count():
    """The one that signs and the one that is accepted too; a third does not."""
    app = App(1, "new", accepted_keys=("old",))
    for key in ("new", "old"):
        usersig.verify(usersig.sign(App(1, key), "ann", NOW, 600), "ann", 1, Apps([app]), NOW)
    assert usersig.sign(app, "ann", NOW, 600) == usersig.sign(App(1, "new"), "ann", NOW, 600)
    with pytest.raises(UserSigError):
        usersig.verify(usersig.sign(App(1, "other"), "ann", NOW, 600), "ann", 1, Apps([app]), NOW)

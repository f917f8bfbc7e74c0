import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin_api import requests
from services.admin_api.errors import ApiError
from services.admin_api.requests import DescribeReceipt, DismissRoom, DismissRoomByStrRoomId, RemoveUser, RemoveUserByStrRoomId

GOOD = {"SdkAppId": 1400000001, "RoomId": 1234, "UserIds": ["u1", "用户2 😀"]}
DISMISSALS = [(DismissRoom, 1234), (DismissRoomByStrRoomId, "a.b c>d")]
REMOVALS = [(RemoveUser, 1234), (RemoveUserByStrRoomId, "a.b c>d")]


def post(model, parameters, content_type="application/json"):
    body = parameters if isinstance(parameters, bytes) else json.dumps(parameters).encode()
    return requests.read(model, "POST", b"", content_type, body)


def get(model, query):
    return requests.read(model, "GET", query.encode(), "application/x-www-form-urlencoded", b"")


def refused(read, *arguments):
    with pytest.raises(ApiError) as caught:
        read(*arguments)
    return caught.value.code


@pytest.mark.parametrize(("model", "room"), REMOVALS)
def test_a_removal_names_app_room_and_users(model, room):
    request = post(model, GOOD | {"RoomId": room})
    assert (request.app, request.room, request.users) == (1400000001, room, ("u1", "用户2 😀"))


@pytest.mark.parametrize(("model", "room"), DISMISSALS)
def test_a_dismissal_names_app_and_room(model, room):
    request = post(model, {"SdkAppId": 1400000001, "RoomId": room})
    assert (request.app, request.room) == (1400000001, room)


def test_a_query_says_the_same_as_json():
    query = "SdkAppId=1400000001&RoomId=1234&UserIds.1=%E7%94%A8%E6%88%B72+%F0%9F%98%80&UserIds.0=u1"
    assert get(RemoveUser, query) == post(RemoveUser, GOOD)
    assert get(DismissRoomByStrRoomId, "SdkAppId=1&RoomId=1234").room == "1234"


def test_a_user_named_twice_is_one():
    assert post(RemoveUser, GOOD | {"UserIds": ["b", "a", "b"]}).users == ("b", "a")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"])
def test_json_is_json_with_and_without_a_charset(content_type):
    assert post(RemoveUser, GOOD, content_type).room == 1234


@pytest.mark.parametrize("content_type", ["", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"])
def test_another_body_is_no_request(content_type):
    assert refused(post, RemoveUser, GOOD, content_type) == "InvalidRequest"


@pytest.mark.parametrize("name", ["SdkAppId", "RoomId", "UserIds"])
@pytest.mark.parametrize("how", ["absent", "null"])
def test_a_missing_parameter_is_named(name, how):
    parameters = GOOD | {name: None}
    if how == "absent":
        del parameters[name]
    assert refused(post, RemoveUser, parameters) == f"MissingParameter.{name}"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "MissingParameter.SdkAppId"),
        ({"SdkAppId": "1400000001"}, "InvalidParameter.SdkAppId"),
        ({"SdkAppId": 0}, "InvalidParameter.SdkAppId"),
        ({"SdkAppId": 2**32}, "InvalidParameter.SdkAppId"),
        ({"SdkAppId": True}, "InvalidParameter.SdkAppId"),
        ({"RoomId": "1234"}, "InvalidParameter.RoomId"),
        ({"RoomId": 1234.0}, "InvalidParameter.RoomId"),
        ({"RoomId": 0}, "InvalidParameter.RoomId"),
        ({"RoomId": -1}, "InvalidParameter.RoomId"),
        ({"RoomId": 4294967295}, "InvalidParameter.RoomId"),
        ({"RoomId": True}, "InvalidParameter.RoomId"),
        ({"RoomId": [1]}, "InvalidParameter.RoomId"),
        ({"UserIds": "u1"}, "InvalidParameter.UserIds"),
        ({"UserIds": {"0": "u1"}}, "InvalidParameter.UserIds"),
        ({"UserIds": []}, "InvalidParameter.UserIds"),
        ({"UserIds": [f"u{number}" for number in range(11)]}, "InvalidParameter.UserIds"),
        ({"UserIds": ["u1"] * 11}, "InvalidParameter.UserIds"),
        ({"UserIds": [1]}, "InvalidParameter.UserIds"),
        ({"UserIds": [None]}, "InvalidParameter.UserIds"),
        ({"UserIds": [""]}, "InvalidParameter.UserIds"),
        ({"UserIds": [" "]}, "InvalidParameter.UserIds"),
        ({"UserIds": ["a\nb"]}, "InvalidParameter.UserIds"),
        ({"UserIds": ["a" * 129]}, "InvalidParameter.UserIds"),
        ({"UserIds": ["\ud800"]}, "InvalidParameter.UserIds"),
        ({"UserId": "u1"}, "UnknownParameter"),
        ({"StrRoomId": "x"}, "UnknownParameter"),
        ({"room": 1}, "UnknownParameter"),
        ({"UserId": None}, "UnknownParameter"),
        ({"\ud800" * 100: 1}, "UnknownParameter"),
    ],
)
def test_what_is_unknown_or_ill_typed_is_named(parameters, code):
    assert refused(post, RemoveUser, parameters and GOOD | parameters) == code


@pytest.mark.parametrize("room", [1234, "", "x" * 65, "a*b", "a/b", "é", "'", None])
def test_a_string_room_is_a_string_that_trtc_accepts(room):
    code = refused(post, DismissRoomByStrRoomId, {"SdkAppId": 1, "RoomId": room})
    assert code == ("MissingParameter.RoomId" if room is None else "InvalidParameter.RoomId")


def test_a_description_names_app_and_command():
    request = post(DescribeReceipt, {"SdkAppId": 1400000001, "CommandId": "aZ_-9"})
    assert (request.app, request.command) == (1400000001, "aZ_-9")
    assert get(DescribeReceipt, "SdkAppId=1400000001&CommandId=aZ_-9") == request
    assert get(DescribeReceipt, "SdkAppId=1&CommandId=12").command == "12"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (None, "MissingParameter.CommandId"),
        ("", "InvalidParameter.CommandId"),
        (12, "InvalidParameter.CommandId"),
        ("a.b", "InvalidParameter.CommandId"),
        ("a*", "InvalidParameter.CommandId"),
        (">", "InvalidParameter.CommandId"),
        ("a\n", "InvalidParameter.CommandId"),
        ("a" * 65, "InvalidParameter.CommandId"),
    ],
)
def test_a_command_id_is_a_token_and_nothing_else(command, code):
    """It becomes part of a subject."""
    assert refused(post, DescribeReceipt, {"SdkAppId": 1, "CommandId": command}) == code


def test_a_description_has_no_room():
    assert refused(post, DescribeReceipt, {"SdkAppId": 1, "CommandId": "c", "RoomId": 1}) == "UnknownParameter"


def test_a_dismissal_has_no_users():
    assert refused(post, DismissRoom, GOOD) == "UnknownParameter"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff",
        '{"SdkAppId":1}'.encode("utf-16"),
        b'{"SdkAppId":NaN}',
        b'{"SdkAppId":1e999999,"RoomId":Infinity}',
        b'{"SdkAppId":1,"SdkAppId":2}',
        b'{"SdkAppId":1,"RoomId":{"a":1,"a":2}}',
        b"[" * 200_000,
        b'{"a":' * 40_000,
        b'{"SdkAppId":' + b"9" * 5000 + b"}",
        b'{"SdkAppId":1} x',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_json_object_is_refused(body):
    assert refused(post, DismissRoom, body) == "InvalidParameter"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "MissingParameter.SdkAppId"),
        ("SdkAppId=1&RoomId=2", "MissingParameter.UserIds"),
        ("SdkAppId=1&UserIds.0=u", "MissingParameter.RoomId"),
        ("SdkAppId=&RoomId=2&UserIds.0=u", "InvalidParameter.SdkAppId"),
        ("SdkAppId=01&RoomId=2&UserIds.0=u", "InvalidParameter.SdkAppId"),
        ("SdkAppId=+1&RoomId=2&UserIds.0=u", "InvalidParameter.SdkAppId"),
        ("SdkAppId=1_0&RoomId=2&UserIds.0=u", "InvalidParameter.SdkAppId"),
        ("SdkAppId=1.0&RoomId=2&UserIds.0=u", "InvalidParameter.SdkAppId"),
        ("SdkAppId=%D9%A1&RoomId=2&UserIds.0=u", "InvalidParameter.SdkAppId"),
        ("SdkAppId=1&RoomId=0&UserIds.0=u", "InvalidParameter.RoomId"),
        ("SdkAppId=1&RoomId=-5&UserIds.0=u", "InvalidParameter.RoomId"),
        ("SdkAppId=1&RoomId=" + "9" * 6000 + "&UserIds.0=u", "InvalidParameter.RoomId"),
        ("SdkAppId=1&RoomId=2&UserIds=u", "InvalidParameter.UserIds"),
        ("SdkAppId=1&RoomId=2&UserIds.1=u", "InvalidParameter.UserIds"),
        ("SdkAppId=1&RoomId=2&UserIds.0=u&UserIds.2=u", "InvalidParameter.UserIds"),
        ("SdkAppId=1&RoomId=2&UserIds.0=u&UserIds=v", "InvalidParameter.UserIds"),
        ("SdkAppId=1&RoomId=2&UserIds.0=", "InvalidParameter.UserIds"),
        ("SdkAppId=1&RoomId=2&" + "&".join(f"UserIds.{n}=u{n}" for n in range(11)), "InvalidParameter.UserIds"),
        ("SdkAppId=1&RoomId=2&UserIds.00=u", "UnknownParameter"),
        ("SdkAppId=1&RoomId=2&UserIds.0=u&x=1", "UnknownParameter"),
        ("SdkAppId=1&SdkAppId=1&RoomId=2&UserIds.0=u", "InvalidParameter"),
        ("SdkAppId", "InvalidParameter"),
        ("SdkAppId=%FF", "InvalidParameter"),
        ("&".join(f"a{n}=1" for n in range(101)), "InvalidParameter"),
    ],
)
def test_a_query_is_checked_as_strictly(query, code):
    assert refused(get, RemoveUser, query) == code


def test_a_query_in_raw_bytes_is_refused():
    with pytest.raises(ApiError):
        requests.read(DismissRoom, "GET", "SdkAppId=1&RoomId=é".encode(), "", b"")


@pytest.mark.parametrize(
    ("action", "version", "code"),
    [
        (None, "2019-07-22", "MissingParameter"),
        ("", "2019-07-22", "MissingParameter"),
        ("RemoveUser", None, "MissingParameter"),
        ("RemoveUser", "2017-03-12", "NoSuchVersion"),
        ("KickOutUser", "2019-07-22", "InvalidAction"),
        ("removeuser", "2019-07-22", "InvalidAction"),
        ("SetUserBlocked", "2019-07-22", "InvalidAction"),
    ],
)
def test_an_action_is_one_of_those_in_one_version(action, version, code):
    assert refused(requests.find_action, action, version) == code


def test_the_actions_are_found():
    assert [requests.find_action(name, "2019-07-22") for name in requests.ACTIONS] == [
        RemoveUser,
        RemoveUserByStrRoomId,
        DismissRoom,
        DismissRoomByStrRoomId,
        DescribeReceipt,
    ]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["SdkAppId", "RoomId", "UserIds"]), inner),
)


@given(body=ANYTHING)
def test_any_json_is_read_or_refused(body):
    assert refused(post, RemoveUser, body)


@given(query=st.text(alphabet="SdkAppIdRoomIdUserIds.=&%0123456789+", max_size=100))
def test_any_query_is_read_or_refused(query):
    assert refused(get, RemoveUser, query)

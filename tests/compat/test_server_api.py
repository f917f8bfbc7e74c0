"""The vendor's Python SDK as it is, with another protocol and endpoint."""

import asyncio
import json

import pytest
from tencentcloud.common import abstract_client, credential
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.trtc.v20190722 import models, trtc_client

from shared.clients.receipts import Receipts
from shared.contracts.commands import Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.replies import Refusal
from tests.admin_api.support import APP, SECRET_ID, SECRET_KEY

REMOVALS = [("RemoveUser", 1234), ("RemoveUserByStrRoomId", "a.b c>d")]
DISMISSALS = [("DismissRoom", 1234), ("DismissRoomByStrRoomId", "a.b c>d")]


def profile(endpoint, *, method="POST", signing="TC3-HMAC-SHA256", unsigned_payload=False, keep_alive=False):
    http = HttpProfile(protocol="http", endpoint=endpoint, reqMethod=method, reqTimeout=20, keepAlive=keep_alive)
    client = ClientProfile(signMethod=signing, httpProfile=http)
    client.unsignedPayload = unsigned_payload
    return client


def client(endpoint, *, secret_id=SECRET_ID, secret_key=SECRET_KEY, region="ap-guangzhou", **more):
    return trtc_client.TrtcClient(credential.Credential(secret_id, secret_key), region, profile(endpoint, **more))


async def call(client, action, **fields):
    """Call an action as an application does. The SDK blocks, so it runs in a thread."""
    request = getattr(models, f"{action}Request")()
    for name, value in ({"SdkAppId": APP} | fields).items():
        setattr(request, name, value)
    return await asyncio.to_thread(getattr(client, action), request)


async def refused(client, action, **fields):
    with pytest.raises(TencentCloudSDKException) as caught:
        await call(client, action, **fields)
    assert caught.value.get_request_id()
    return caught.value.get_code()


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(("action", "room"), REMOVALS)
async def test_remove(endpoint, registry, action, room, method):
    response = await call(client(endpoint, method=method), action, RoomId=room, UserIds=["u1", "用户2 😀"])
    assert json.loads(response.to_json_string()) == {"RequestId": response.RequestId}
    (command,) = registry.commands
    assert (command.verb, command.room, command.users) == (Verb.REMOVE, room, ("u1", "用户2 😀"))
    assert command.correlation == response.RequestId


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(("action", "room"), DISMISSALS)
async def test_dismiss(endpoint, registry, action, room, method):
    response = await call(client(endpoint, method=method), action, RoomId=room)
    (command,) = registry.commands
    assert (command.verb, command.room, command.correlation) == (Verb.DISMISS, room, response.RequestId)


@pytest.mark.parametrize(
    "how",
    [{"region": None}, {"unsigned_payload": True}, {"keep_alive": True}, {"unsigned_payload": True, "method": "GET"}],
    ids=str,
)
async def test_the_sdks_options_change_nothing(endpoint, registry, how):
    caller = client(endpoint, **how)
    for _ in range(2):
        await call(caller, "DismissRoom", RoomId=1)
    assert len(registry.commands) == 2


async def test_an_endpoint_that_is_a_url_is_signed_as_one(endpoint, registry):
    await call(client(f"http://{endpoint}"), "DismissRoom", RoomId=1)
    assert len(registry.commands) == 1


async def test_an_application_that_reads_more_than_the_model_sees_who_was_removed(endpoint, registry):
    caller = CommonClient("trtc", "2019-07-22", credential.Credential(SECRET_ID, SECRET_KEY), "ap-guangzhou", profile(endpoint))
    answer = await asyncio.to_thread(caller.call_json, "RemoveUser", {"SdkAppId": APP, "RoomId": 1, "UserIds": ["u1", "x"]})
    assert [each["UserId"] for each in answer["Response"]["Removed"]] == ["u1"]
    assert answer["Response"]["NotFound"] == ["x"]


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_an_application_asks_later_what_became_of_it(endpoint, registry, bus, method):
    """With the SDK's way to call an action that it has no model for."""
    await Receipts(bus).ensure(1)
    key = credential.Credential(SECRET_ID, SECRET_KEY)
    caller = CommonClient("trtc", "2019-07-22", key, "ap-guangzhou", profile(endpoint, method=method))
    await call(client(endpoint), "RemoveUser", RoomId=1, UserIds=["u1", "x"])
    wanted = {"SdkAppId": APP, "CommandId": registry.commands[0].id}
    answer = (await asyncio.to_thread(caller.call_json, "DescribeReceipt", wanted))["Response"]
    assert [each["State"] for each in answer["Removed"]] == ["pending"]
    assert (answer["NotFound"], answer["Complete"]) == (["x"], True)
    with pytest.raises(TencentCloudSDKException) as caught:
        await asyncio.to_thread(caller.call_json, "DescribeReceipt", wanted | {"CommandId": "unknown"})
    assert caught.value.get_code() == "ResourceNotFound.CommandId"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"secret_key": "wrong"}, "AuthFailure.SignatureFailure"),
        ({"secret_id": "AKIDNOBODY"}, "AuthFailure.SecretIdNotFound"),
        ({"signing": "HmacSHA1"}, "AuthFailure.InvalidAuthorization"),
        ({"signing": "HmacSHA256", "method": "GET"}, "AuthFailure.InvalidAuthorization"),
    ],
    ids=str,
)
async def test_who_cannot_sign_hears_it_and_does_nothing(endpoint, registry, how, code):
    assert await refused(client(endpoint, **how), "DismissRoom", RoomId=1) == code
    await nothing_was_sent(endpoint, registry)


async def test_an_old_timestamp_is_refused(endpoint, registry, monkeypatch):
    class LateClock:
        time = staticmethod(lambda: 1_700_000_000)

    monkeypatch.setattr(abstract_client, "time", LateClock)
    assert await refused(client(endpoint), "DismissRoom", RoomId=1) == "AuthFailure.SignatureExpire"
    monkeypatch.undo()
    await nothing_was_sent(endpoint, registry)


async def test_the_unsigned_mode_is_refused(endpoint, registry):
    caller = client(endpoint)
    with pytest.raises(TencentCloudSDKException) as caught:
        await asyncio.to_thread(caller.call, "DismissRoom", {"SdkAppId": APP, "RoomId": 1}, {"SkipSign": True})
    assert caught.value.get_code() == "AuthFailure.InvalidAuthorization"
    await nothing_was_sent(endpoint, registry)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"SdkAppId": APP + 1, "RoomId": 1, "UserIds": ["u1"]}, "UnauthorizedOperation.SdkAppId"),
        ({"SdkAppId": None, "RoomId": 1, "UserIds": ["u1"]}, "MissingParameter.SdkAppId"),
        ({"UserIds": ["u1"]}, "MissingParameter.RoomId"),
        ({"RoomId": 1}, "MissingParameter.UserIds"),
        ({"RoomId": 0, "UserIds": ["u1"]}, "InvalidParameter.RoomId"),
        ({"RoomId": "room", "UserIds": ["u1"]}, "InvalidParameter.RoomId"),
        ({"RoomId": 1, "UserIds": [f"u{number}" for number in range(11)]}, "InvalidParameter.UserIds"),
        ({"RoomId": 1, "UserIds": [""]}, "InvalidParameter.UserIds"),
    ],
)
async def test_a_request_that_is_not_right_is_an_exception_with_its_code(endpoint, registry, fields, code, method):
    assert await refused(client(endpoint, method=method), "RemoveUser", **fields) == code
    await nothing_was_sent(endpoint, registry)


async def test_an_unknown_parameter_and_an_unknown_action_are_exceptions(endpoint, registry):
    caller = CommonClient("trtc", "2019-07-22", credential.Credential(SECRET_ID, SECRET_KEY), "ap-guangzhou", profile(endpoint))
    user = {"SdkAppId": APP, "RoomId": 1, "UserId": "u1"}
    for action, code in (("DismissRoom", "UnknownParameter"), ("SetUserBlocked", "InvalidAction")):
        with pytest.raises(TencentCloudSDKException) as caught:
            await asyncio.to_thread(caller.call_json, action, user)
        assert caught.value.get_code() == code
    await nothing_was_sent(endpoint, registry)


async def test_a_room_that_does_not_exist_is_an_exception_with_its_code(endpoint, registry):
    registry.answers[Verb.DISMISS] = Refusal(code=RefusalCode.ROOM_NOT_EXIST, message="no such room")
    assert await refused(client(endpoint), "DismissRoom", RoomId=1) == "FailedOperation.RoomNotExist"


async def nothing_was_sent(endpoint, registry):
    """Send one good request: on the service's connection nothing else may have gone before it."""
    registry.commands.clear()
    await call(client(endpoint), "DismissRoom", RoomId=4294967294)
    assert [command.room for command in registry.commands] == [4294967294]

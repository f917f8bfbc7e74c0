"""The server API on a real bus, where the test plays the registry."""

import asyncio
import json
import re
import signal
import sys
import time
from urllib.parse import urlencode

import httpx
import pytest

from services.admin_api.app import build
from shared.bus.stream import EventStream
from shared.contracts.commands import Dismiss, Remove, Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.ids import RoomKey
from shared.contracts.replies import Refusal
from shared.contracts.subjects import command_subject, partition_of
from shared.service import ServiceFailedError
from tests.admin_api.support import (
    APP,
    GATEWAY,
    SECRET_ID,
    SECRET_KEY,
    SESSION,
    Caller,
    PlayedRegistry,
    code_of,
    default_answer,
    settings,
    sign,
)
from tests.support.running import running

REMOVALS = [("RemoveUser", 1234), ("RemoveUserByStrRoomId", "a.b c>d")]
DISMISSALS = [("DismissRoom", 1234), ("DismissRoomByStrRoomId", "a.b c>d")]
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def of_room(room, **more):
    return {"SdkAppId": APP, "RoomId": room} | more


async def nothing_was_sent(caller, registry):
    """Send one good request: on its connection nothing else may have gone before it."""
    registry.commands.clear()
    assert code_of(await caller.post("DismissRoom", of_room(4294967294))) is None
    assert [command.room for command in registry.commands] == [4294967294]


@pytest.mark.parametrize(("action", "room"), REMOVALS)
async def test_a_removal_is_a_command_to_the_owner_of_the_rooms_partition(caller, registry, action, room):
    before = time.time()
    response = await caller.post(action, of_room(room, UserIds=["u用户2 😀", "nobody"]))
    request_id = response["RequestId"]
    unheard = {"MediaStoppedAt": None, "ToldAt": None, "State": "pending"}
    assert response == {
        "CommandId": response["CommandId"],
        "Removed": [{"UserId": "u用户2 😀", "SessionId": SESSION, "Gateway": GATEWAY, "Seq": 7} | unheard],
        "NotFound": ["nobody"],
        "RequestId": request_id,
    }
    assert UUID.fullmatch(request_id)
    (command,) = registry.commands
    assert command == Remove(
        id=command.id, correlation=request_id, expires_at=command.expires_at, app=APP, room=room, users=("u用户2 😀", "nobody")
    )
    assert re.fullmatch("[0-9a-f]{64}", command.id)
    assert command.id == response["CommandId"]
    assert before <= command.expires_at / 1000 <= time.time() + 0.5
    key = RoomKey(APP, room)
    assert registry.subjects == [command_subject(partition_of(key, 8), key, Verb.REMOVE)]


@pytest.mark.parametrize(("action", "room"), DISMISSALS)
async def test_a_dismissal_is_a_command_to_the_owner_of_the_rooms_partition(caller, registry, action, room):
    response = await caller.post(action, of_room(room))
    assert (response["Sessions"], response["Pending"], response["Removed"]) == (3, 3, [])
    (command,) = registry.commands
    assert command == Dismiss(id=command.id, correlation=response["RequestId"], expires_at=command.expires_at, app=APP, room=room)
    key = RoomKey(APP, room)
    assert registry.subjects == [command_subject(partition_of(key, 8), key, Verb.DISMISS)]


async def test_the_same_by_get(caller, registry):
    query = urlencode({"SdkAppId": APP, "RoomId": "a.b c>d", "UserIds.0": "u1", "UserIds.1": "用户 +&=%"})
    response = await caller.get("RemoveUserByStrRoomId", query)
    assert [each["UserId"] for each in response["Removed"]] == ["u1"]
    assert response["NotFound"] == ["用户 +&=%"]
    (command,) = registry.commands
    assert (command.room, command.users) == ("a.b c>d", ("u1", "用户 +&=%"))


@pytest.mark.parametrize(
    ("signing", "code"),
    [
        ({"secret_key": "guess"}, "AuthFailure.SignatureFailure"),
        ({"secret_id": "NOBODY"}, "AuthFailure.SecretIdNotFound"),
        ({"now": 1_700_000_000}, "AuthFailure.SignatureExpire"),
        ({"headers": {"Authorization": "SKIP"}}, "AuthFailure.InvalidAuthorization"),
        ({"headers": {"X-TC-Timestamp": "now"}}, "AuthFailure.SignatureExpire"),
        ({"action": "RemoveUsers"}, "InvalidAction"),
        ({"version": "2020-01-01"}, "NoSuchVersion"),
        ({"action": None}, "MissingParameter"),
        ({"version": None}, "MissingParameter"),
    ],
)
async def test_who_or_what_is_not_right_sends_nothing(caller, registry, signing, code):
    action = signing.pop("action", "RemoveUser")
    assert code_of(await caller.post(action, of_room(1, UserIds=["u1"]), **signing)) == code
    await nothing_was_sent(caller, registry)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        (of_room(1, UserIds=["u1"]) | {"SdkAppId": APP + 1}, "UnauthorizedOperation.SdkAppId"),
        ({"SdkAppId": APP, "UserIds": ["u1"]}, "MissingParameter.RoomId"),
        ({"RoomId": 1, "UserIds": ["u1"]}, "MissingParameter.SdkAppId"),
        (of_room(1), "MissingParameter.UserIds"),
        (of_room("1", UserIds=["u1"]), "InvalidParameter.RoomId"),
        (of_room(1, UserIds=[1]), "InvalidParameter.UserIds"),
        (of_room(1, UserIds=[]), "InvalidParameter.UserIds"),
        (of_room(1, UserIds=[f"u{number}" for number in range(11)]), "InvalidParameter.UserIds"),
        (of_room(1, UserIds=["u1"], Reason="x"), "UnknownParameter"),
        (b"{", "InvalidParameter"),
        (b"[" * 100_000, "InvalidParameter"),
        (b'{"SdkAppId":1400000001,"RoomId":1,"RoomId":2,"UserIds":["u1"]}', "InvalidParameter"),
        (b" " * (256 * 1024 + 1), "RequestSizeLimitExceeded"),
        (b" " * (4 * 1024 * 1024), "RequestSizeLimitExceeded"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
async def test_a_request_that_is_not_right_sends_nothing(caller, registry, parameters, code):
    assert code_of(await caller.post("RemoveUser", parameters)) == code
    await nothing_was_sent(caller, registry)


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}, {"X-TC-Action": "RemoveUser", "X-TC-Version": "2019-07-22"}])
async def test_an_unsigned_request_is_answered_like_any_other(client, caller, registry, headers):
    answer = await client.post("/", content=b"{}", headers=headers)
    assert code_of(caller.read(answer)) == "AuthFailure.InvalidAuthorization"
    await nothing_was_sent(caller, registry)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT"])
async def test_another_method_is_answered_like_any_other(client, caller, method):
    assert code_of(caller.read(await client.request(method, "/", headers={"Origin": "https://example.com"}))) == "UnsupportedProtocol"


async def test_a_room_that_does_not_exist_has_the_vendors_code(caller, registry):
    registry.answers[Verb.DISMISS] = Refusal(code=RefusalCode.ROOM_NOT_EXIST, message="no such room")
    assert code_of(await caller.post("DismissRoom", of_room(1))) == "FailedOperation.RoomNotExist"


async def test_a_refusal_that_is_none_of_the_callers_is_an_internal_error(caller, registry):
    registry.answers[Verb.DISMISS] = Refusal(code=RefusalCode.BAD_REQUEST, message="inside")
    response = await caller.post("DismissRoom", of_room(1))
    assert code_of(response) == "InternalError"
    assert "inside" not in response["Error"]["Message"]


async def test_a_command_is_sent_with_one_id_until_it_is_answered(caller, registry):
    refusals = iter([Refusal(code=RefusalCode.NOT_OWNER, message="moving", retry=True)] * 2)
    registry.answers[Verb.DISMISS] = lambda command: next(refusals, None) or default_answer(command)
    assert (await caller.post("DismissRoom", of_room(1)))["Sessions"] == 3
    assert len(registry.commands) == 3
    assert len({command.id for command in registry.commands}) == 1


async def test_with_no_owner_the_caller_hears_that_it_may_try_again(caller, registry):
    registry.answers[Verb.DISMISS] = Refusal(code=RefusalCode.OVERLOADED, message="full", retry=True)
    response = await caller.post("DismissRoom", of_room(1))
    assert code_of(response) == "InternalError"
    assert "may be sent again" in response["Error"]["Message"]


async def test_two_requests_are_two_commands(caller, registry):
    now = int(time.time())
    one, two = await asyncio.gather(*(caller.post("DismissRoom", of_room(1), now=at) for at in (now, now - 1)))
    assert one["RequestId"] != two["RequestId"]
    assert len({command.id for command in registry.commands}) == 2


async def test_it_is_ready_when_the_stream_exists_and_answers_before(nats_server, bus):
    service = build(settings(nats_server.url))
    async with running(service, ready=False) as url, httpx.AsyncClient(base_url=url) as client:
        async with asyncio.timeout(10):
            while "stream" not in (await client.get("/readyz")).text:
                await asyncio.sleep(0.02)
        response = await Caller(client).post("DismissRoom", of_room(1))
        assert code_of(response) == "InternalError"
        await EventStream(bus).ensure(3)
        registry = PlayedRegistry(bus)
        await registry.start()
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
        assert code_of(await Caller(client).post("DismissRoom", of_room(1))) is None
        key = RoomKey(APP, 1)
        assert registry.subjects == [command_subject(partition_of(key, 3), key, Verb.DISMISS)]


async def test_a_stream_that_is_not_ours_ends_the_service(nats_server, bus):
    await bus.jetstream().add_stream(name="STAGEDOOR_EVT_V1", subjects=["something.else"])
    service = build(settings(nats_server.url))
    with pytest.raises(ServiceFailedError, match="was not made by Stagedoor"):
        await asyncio.wait_for(service.serve(), 10)


async def test_a_request_under_way_has_its_answer_before_the_service_ends(nats_server, bus):
    await EventStream(bus).ensure(8)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def decide_late(message):
        asked.set()
        await answer.wait()
        await message.respond(default_answer(Dismiss(id="x", app=APP, room=1)).to_bytes())

    await bus.subscribe("stagedoor.v1.cmd.>", cb=decide_late)
    service = build(settings(nats_server.url))
    async with running(service) as url, httpx.AsyncClient(base_url=url) as client:
        asking = asyncio.create_task(Caller(client).post("DismissRoom", of_room(1)))
        await asked.wait()
        service.stop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asking), 0.3)
        answer.set()
        assert code_of(await asking) is None


async def raw(address, request):
    """Send bytes as they are, and return the content of the answer."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(re.search(r"content-length: (\d+)", head, re.IGNORECASE)[1])
    body = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    assert head.startswith("HTTP/1.1 200 ")
    assert re.search(r"^content-type: application/json\r$", head, re.MULTILINE | re.IGNORECASE)
    return json.loads(body)["Response"]


@pytest.mark.parametrize("host", ["http://127.0.0.1:18080", "localhost", "not a host", "[::1]:8081"])
async def test_a_host_header_is_only_ever_signed_text(address, registry, host):
    body = json.dumps(of_room(1)).encode()
    headers = sign("POST", "", body, host=host, action="DismissRoom") | {"Content-Length": str(len(body))}
    request = "POST / HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    assert code_of(await raw(address, request.encode() + body)) is None
    assert len(registry.commands) == 1


async def test_it_runs_as_a_process_that_sigterm_ends(nats_server, bus):
    await EventStream(bus).ensure(8)
    environment = {
        "STAGEDOOR_NATS_URL": nats_server.url,
        "STAGEDOOR_PORT": "0",
        "STAGEDOOR_SDK_APP_ID": str(APP),
        "STAGEDOOR_SECRET_KEY": "usersig-secret-key",
        "STAGEDOOR_SECRET_ID": SECRET_ID,
        "STAGEDOOR_API_SECRET_KEY": SECRET_KEY,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.admin_api", env=environment, stderr=asyncio.subprocess.PIPE
    )
    output = b""
    async with asyncio.timeout(20):
        while b"service_started" not in output:
            output += await process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        output += await process.stderr.read()
        assert await process.wait() == 0
    assert b"service_ended" in output
    assert b"Traceback" not in output
    assert b"secret-key" not in output


async def test_without_its_secrets_it_does_not_start():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.admin_api", env={"STAGEDOOR_SDK_APP_ID": "1"}, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    for name in ("STAGEDOOR_SECRET_KEY", "STAGEDOOR_SECRET_ID", "STAGEDOOR_API_SECRET_KEY"):
        assert name in errors.decode()

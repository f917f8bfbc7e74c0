import asyncio
import contextlib
import itertools
import json
from uuid import UUID

import httpx
import pytest
import structlog

from services.admin_api import http
from services.admin_api.http import Endpoint
from services.admin_api.metrics import AdminMetrics
from services.admin_api.use_cases import Administration
from shared.clients.gathering import Gathering
from shared.contracts.replies import AnswerReply, DismissReply, RemoveReply
from shared.rates import RateLimits
from shared.tracing import NoTracer
from tests.admin_api.support import APP, SECRET_ID, SECRET_KEY, Caller, code_of, settings, sign

NOW = 1_795_441_937
DISMISS = {"SdkAppId": APP, "RoomId": 12}


class FakeRegistry:
    def __init__(self):
        self.commands = []
        self.failure = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def remove(self, command):
        return await self._note(command, RemoveReply(removed=(), not_found=command.users))

    async def dismiss(self, command):
        return await self._note(command, DismissReply(incarnation="1.1", seq=1, sessions=2, attachments={"gw_0123456789abcdef": 2}))

    async def answer(self, _app, command, _seconds):
        return AnswerReply(answer=RemoveReply(removed=(), not_found=("ann",)) if command == "c1" else None)

    async def _note(self, command, reply):
        self.commands.append(command)
        await self.gate.wait()
        if self.failure:
            raise self.failure
        return reply


class NoReceipts:
    @contextlib.asynccontextmanager
    async def gathering(self, _app, _command):
        yield Gathering()

    async def read(self, _app, _command, into):
        pass


class Clock:
    def __init__(self):
        self.now = float(NOW)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def registry():
    return FakeRegistry()


@pytest.fixture
def endpoint(registry, clock):
    ids = (UUID(int=number) for number in itertools.count(1))
    return Endpoint(
        settings().apps(),
        Administration(registry, NoReceipts(), clock=lambda: int(clock() * 1000), seconds=10, receipt_seconds=0),
        RateLimits(2),
        AdminMetrics(),
        NoTracer(),
        body_bytes=2048,
        clock=lambda: int(clock() * 1000),
        monotonic=clock,
        new_id=lambda: next(ids),
    )


@pytest.fixture
async def client(endpoint):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://admin:8081") as client:
        yield client


@pytest.fixture
def caller(client):
    class Then(Caller):
        async def post(self, action, parameters, **signing):
            return await super().post(action, parameters, **{"now": NOW} | signing)

    return Then(client)


@pytest.fixture
def lines():
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


async def test_the_request_id_is_the_commands_correlation(caller, registry):
    response = await caller.post("DismissRoom", DISMISS)
    assert response["RequestId"] == str(UUID(int=1))
    (command,) = registry.commands
    assert (command.correlation, command.id) == (response["RequestId"], response["CommandId"])


async def test_a_replay_of_a_signed_request_is_the_same_command(caller, registry, clock):
    """Whatever is not signed; another second, or another body, is another command."""
    await caller.post("DismissRoom", DISMISS)
    await caller.post("DismissRoom", DISMISS, headers={"X-TC-TraceId": "another", "X-TC-Language": "zh-CN"})
    clock.now += 1
    await caller.post("DismissRoom", DISMISS | {"RoomId": 13})
    await caller.post("DismissRoom", DISMISS, now=NOW + 1)
    first, replay, body, second = [command.id for command in registry.commands]
    assert first == replay
    assert len({first, body, second}) == 3


async def test_a_request_leaves_one_line_that_names_no_user_and_no_secret(caller, lines):
    await caller.post("RemoveUser", DISMISS | {"UserIds": ["alice", "bob"]})
    (line,) = [line for line in lines if line["log_level"] != "debug"]
    assert line == {
        "event": "admin_request",
        "log_level": "info",
        "action": "RemoveUser",
        "app": APP,
        "secret_id": SECRET_ID,
        "room": 12,
        "users": 2,
        "code": "ok",
        "command": line["command"],
        "correlation": str(UUID(int=1)),
        "duration_ms": 0.0,
    }
    assert SECRET_KEY not in repr(lines)


async def test_a_description_leaves_a_line_with_the_command_that_it_is_about(caller, registry, lines):
    response = await caller.post("DescribeReceipt", {"SdkAppId": APP, "CommandId": "c1"})
    assert (response["CommandId"], response["NotFound"], response["Complete"]) == ("c1", ["ann"], True)
    (line,) = lines
    assert (line["action"], line["command"], line["code"]) == ("DescribeReceipt", "c1", "ok")
    assert "room" not in line
    assert registry.commands == []


async def test_a_refused_request_leaves_its_line_too(caller, lines):
    await caller.post(b"Dismiss\xe9" * 20, DISMISS, secret_key="wrong")
    assert [(line["code"], len(line["action"])) for line in lines] == [("AuthFailure.SignatureFailure", 64)]
    assert "secret_id" not in lines[0]


async def test_a_credential_has_so_many_requests_a_second_for_each_action(caller, registry, clock):
    assert [code_of(await caller.post("DismissRoom", DISMISS)) for _ in range(3)] == [None, None, "RequestLimitExceeded"]
    assert code_of(await caller.post("DismissRoomByStrRoomId", DISMISS | {"RoomId": "12"})) is None
    clock.now += 1
    assert code_of(await caller.post("DismissRoom", DISMISS)) is None
    assert len(registry.commands) == 4


async def test_who_cannot_sign_uses_up_nobodys_requests(caller):
    for _ in range(5):
        assert code_of(await caller.post("DismissRoom", DISMISS, secret_key="guess")) == "AuthFailure.SignatureFailure"
    assert [code_of(await caller.post("DismissRoom", DISMISS)) for _ in range(2)] == [None, None]


async def test_nothing_is_said_about_actions_before_the_signature_is_right(caller):
    assert code_of(await caller.post("NoAction", b"{", secret_key="guess", version="1")) == "AuthFailure.SignatureFailure"
    assert code_of(await caller.post("NoAction", b"{")) == "InvalidAction"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
async def test_other_methods_are_no_protocol_of_this_api(client, method):
    answer = await client.request(method, "/")
    assert answer.status_code == 200
    assert answer.json()["Response"]["Error"]["Code"] == "UnsupportedProtocol"


async def test_a_body_up_to_the_limit_is_read_and_not_a_byte_more(caller):
    body = json.dumps(DISMISS).encode()
    assert code_of(await caller.post("DismissRoom", body.ljust(2048))) is None
    assert code_of(await caller.post("DismissRoom", body.ljust(2049))) == "RequestSizeLimitExceeded"


def scope_of(headers=()):
    return {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": list(headers)}


async def answer_to(endpoint, receive, headers=()):
    sent = []

    async def send(message):
        sent.append(message)

    await endpoint(scope_of(headers), receive, send)
    return sent


def code_sent(sent):
    return json.loads(sent[1]["body"])["Response"]["Error"]["Code"]


async def test_a_body_without_end_is_given_up(endpoint):
    received = 0

    async def receive():
        nonlocal received
        received += 1
        return {"type": "http.request", "body": bytes(1024 * 1024), "more_body": True}

    assert code_sent(await answer_to(endpoint, receive)) == "RequestSizeLimitExceeded"
    assert received == 11


async def test_a_body_that_does_not_come_is_not_waited_for(endpoint, monkeypatch):
    monkeypatch.setattr(http, "_BODY_SECONDS", 0.01)

    async def receive():
        await asyncio.Event().wait()

    assert code_sent(await answer_to(endpoint, receive)) == "InvalidRequest"


async def test_who_hangs_up_hears_nothing(endpoint, lines):
    async def receive():
        return {"type": "http.disconnect"}

    assert await answer_to(endpoint, receive) == []
    assert [line["code"] for line in lines] == ["unanswered"]


async def test_what_nobody_foresaw_is_an_internal_error_with_a_trace_in_the_log(caller, registry, lines):
    registry.failure = RuntimeError("inside")
    response = await caller.post("DismissRoom", DISMISS)
    assert response["Error"]["Code"] == "InternalError"
    assert "inside" not in response["Error"]["Message"]
    assert [line["event"] for line in lines] == ["admin_request_broken", "admin_request"]


async def test_a_get_request_is_signed_with_its_query(client, registry):
    query = f"SdkAppId={APP}&RoomId=12"
    headers = sign("GET", query, b"", host="admin:8081", action="DismissRoom", now=NOW)
    assert code_of(Caller.read(await client.get(f"/?{query}", headers=headers))) is None
    assert code_of(Caller.read(await client.get(f"/?{query}3", headers=headers))) == "AuthFailure.SignatureFailure"
    assert len(registry.commands) == 1

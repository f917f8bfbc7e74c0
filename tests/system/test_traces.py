"""One kick is one trace over three services, as a collector receives it; and nothing of that where nobody asks."""

import asyncio
import contextlib
import subprocess
import sys

import httpx
import pytest
import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from shared.contracts.errors import ConfigurationError
from shared.settings import Settings
from shared.tracing import NO_CONTEXT, NoTracer, carried, context_of, headers_of, make_tracer
from tests.admin_api.support import Caller
from tests.support.ports import free_port
from tests.system.conftest import API_SECRET, APP, ROOT, SECRET_ID

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """Takes spans as OpenTelemetry's collector does: OTLP over HTTP."""

    def __init__(self):
        self.port = free_port()
        self.spans = []
        self._changed = asyncio.Event()

    async def take(self, request):
        for resource in ExportTraceServiceRequest.FromString(await request.body()).resource_spans:
            [service] = [each.value.string_value for each in resource.resource.attributes if each.key == "service.name"]
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        self._changed.set()
        return Response()

    async def until(self, *names):
        """Wait for spans of these names, and return them by name."""
        async with asyncio.timeout(20):
            while not set(names) <= {span.name for _, span in self.spans}:
                self._changed.clear()
                await self._changed.wait()
        return {(service, span.name): span for service, span in self.spans}


@pytest.fixture
async def collector(request):
    it = Collector()
    if hasattr(request, "param"):
        # A port that nobody listens on.
        yield it
        return
    app = Starlette(routes=[Route("/v1/traces", it.take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=it.port, log_config=None, lifespan="off"))
    server.capture_signals = contextlib.nullcontext
    serving = asyncio.create_task(server.serve())
    yield it
    server.should_exit = True
    await serving


@pytest.fixture
def environment(collector):
    told = {
        "STAGEDOOR_TRACES": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    return dict.fromkeys(("room_registry", "admin_api", "edge_gateway"), told)


async def test_one_kick_is_one_trace(system, collector):
    """From the caller's own span over what decides to what tells the browser; without a word about who or where."""
    admin = f"http://127.0.0.1:{system.ports['admin_api']}"
    async with system.joined("a-person", "a-private-room") as ann, httpx.AsyncClient(base_url=admin) as client:
        parameters = {"SdkAppId": APP, "RoomId": "a-private-room", "UserIds": ["a-person"]}
        signing = {"secret_id": SECRET_ID, "secret_key": API_SECRET, "headers": {"traceparent": PARENT}}
        asking = asyncio.create_task(Caller(client).post("RemoveUserByStrRoomId", parameters, **signing))
        await ann.expect("ended")
        await ann.acknowledge()
        assert await ann.closed() == 1000
        answer = await asking
    assert answer["Removed"][0]["State"] == "confirmed"
    spans = await collector.until("RemoveUserByStrRoomId", "remove", "end_session", "join")
    _, trace, caller, _ = PARENT.split("-")
    asked = spans["stagedoor-admin_api", "RemoveUserByStrRoomId"]
    decided = spans["stagedoor-room_registry", "remove"]
    told = spans["stagedoor-edge_gateway", "end_session"]
    assert {span.trace_id.hex() for span in (asked, decided, told)} == {trace}
    assert asked.parent_span_id.hex() == caller
    assert decided.parent_span_id == asked.span_id
    assert told.parent_span_id == decided.span_id
    assert {
        each.value.string_value for span in (asked, decided, told) for each in span.attributes if each.key == "stagedoor.correlation"
    } == {answer["RequestId"]}
    # A join is a trace of its own, over two services.
    join = spans["stagedoor-edge_gateway", "join"]
    assert join.trace_id == spans["stagedoor-room_registry", "join"].trace_id != asked.trace_id
    assert not any(word in str(span) for _, span in collector.spans for word in ("a-person", "a-private-room"))


@pytest.mark.parametrize("collector", [None], indirect=True)
async def test_a_collector_that_is_away_keeps_nobody(system):
    """Services serve and end as ever; nothing waits for what nobody takes."""
    async with system.joined("ann"):
        await system.call("RemoveUser", RoomId=1, UserIds=["ann"])
    for name in ("edge_gateway", "admin_api", "room_registry"):
        assert await system.end(name) == 0


def test_nothing_is_imported_that_nobody_asked_for():
    """A service that traces nothing has not loaded what traces (FastStream looks whether it is there, no more)."""
    program = (
        "import sys; from services.room_registry.app import build; from services.room_registry.settings import RegistrySettings;"
        "build(RegistrySettings(port=0)); print({'shared.otel', 'opentelemetry.sdk', 'opentelemetry.trace'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "set()\n"
    assert isinstance(make_tracer(Settings(port=0), "any"), NoTracer)


def test_traces_without_the_library_are_a_wrong_setting(monkeypatch):
    """Said before anything starts."""
    monkeypatch.setitem(sys.modules, "shared.otel", None)
    with pytest.raises(ConfigurationError, match=r"stagedoor\[otel\]"):
        make_tracer(Settings(port=0, traces="otlp"), "any")


def test_what_somebody_sends_as_a_trace_is_bounded():
    """Other headers stay where they are, and what is too long does, too."""
    assert carried({"traceparent": PARENT, "cookie": "x"}) == {"traceparent": PARENT}
    assert carried({"traceparent": "0" * 65, "tracestate": "x" * 513}) == NO_CONTEXT
    assert carried(None) == NO_CONTEXT


def test_each_command_of_a_group_has_its_own_trace():
    """A message that one command fills has the standard header; one of several has them by command, and nonsense is none."""
    one, other = {"traceparent": PARENT}, {"traceparent": PARENT.replace("4bf9", "5bf9")}
    assert headers_of({"a": one}) == one
    assert headers_of({"a": NO_CONTEXT, "b": NO_CONTEXT}) == NO_CONTEXT
    group = headers_of({"a": one, "b": NO_CONTEXT, "c": other})
    assert [context_of(group, command) for command in "abcd"] == [one, NO_CONTEXT, other, NO_CONTEXT]
    for nonsense in ("", "[]", "{", '{"a": 7}'):
        assert context_of({"Stagedoor-Traces": nonsense}, "a") == NO_CONTEXT
    assert context_of(one, "a") == one
    assert context_of(None, "a") == NO_CONTEXT

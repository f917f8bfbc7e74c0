"""The HTTP edge: one route, HTTP 200 for every request, and one line in the log for each.

The order of the checks is the order of trust: how much is read is bounded first; nothing is said about actions and
parameters before the signature is right; and only then does a request count against its credential's rate.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final
from uuid import UUID

import structlog
from starlette.requests import ClientDisconnect
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.admin_api import requests, responses
from services.admin_api.errors import ApiError, Code, translate, unexpected
from services.admin_api.metrics import AdminMetrics
from services.admin_api.use_cases import Administration, Order
from shared.auth import tc3
from shared.auth.apps import Apps
from shared.clients.outcomes import states_of
from shared.contracts.errors import StagedoorError
from shared.http_body import BodyTooLargeError, read_body
from shared.rates import RateLimits
from shared.tracing import Tracer, carried, carrying

log = structlog.get_logger()

_BODY_SECONDS = 10.0
_DISCARDED_BYTES: Final = 10 * 1024 * 1024
"""What is read of a body that is too large, and thrown away: a client hears the answer only when it has sent all."""


class Endpoint:
    """The ASGI application behind ``/``: every method and every request ends here.

    Args:
        apps: who may call.
        administration: carries requests out.
        rates: requests a second, by SecretId and action.
        metrics: where requests are counted.
        tracer: traces them, once they are known to be a caller's.
        body_bytes: the largest body.
        clock: Unix time in milliseconds.
        monotonic: a clock in seconds that never goes back.
        new_id: makes the random ids of requests.
    """

    def __init__(
        self,
        apps: Apps,
        administration: Administration,
        rates: RateLimits,
        metrics: AdminMetrics,
        tracer: Tracer,
        *,
        body_bytes: int,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        new_id: Callable[[], UUID],
    ) -> None:
        self._apps = apps
        self._administration = administration
        self._rates = rates
        self._metrics = metrics
        self._tracer = tracer
        self._body_bytes = body_bytes
        self._clock = clock
        self._monotonic = monotonic
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = str(self._new_id())
        with structlog.contextvars.bound_contextvars(correlation=request_id):
            try:
                content = await self._answer(StarletteRequest(scope, receive), request_id)
            except ClientDisconnect:
                return
            await Response(responses.encode(content, request_id), media_type=responses.CONTENT_TYPE)(scope, receive, send)

    async def _answer(self, request: StarletteRequest, request_id: str) -> dict[str, object]:
        """Return an answer's content, whatever happens, and write the request's line in the log."""
        started = self._monotonic()
        line: dict[str, object] = {"code": "unanswered"}
        try:
            content = await self._handle(request, request_id, line)
        except ClientDisconnect:
            raise
        except StagedoorError as error:
            return _failed(translate(error), line)
        except Exception:
            log.exception("admin_request_broken")
            return _failed(unexpected(), line)
        else:
            line["code"] = "ok"
            return content
        finally:
            seconds = self._monotonic() - started
            self._metrics.answered(line.get("action"), str(line["code"]), seconds)
            log.info("admin_request", **line, duration_ms=round(seconds * 1000, 1))

    async def _handle(self, request: StarletteRequest, request_id: str, line: dict[str, object]) -> dict[str, object]:
        signed = await self._read(request)
        action = signed.header("x-tc-action")
        # Anybody's text until it is known: short, and in characters that every log can take.
        line["action"] = action if action in requests.ACTIONS else ascii(action)[:64]
        caller = tc3.verify(signed, self._apps, self._clock() / 1000)
        line.update(app=caller.app.sdk_app_id, secret_id=caller.secret_id)
        model = requests.find_action(action, signed.header("x-tc-version"))
        if not self._rates.take((caller.secret_id, action), self._monotonic()):
            raise ApiError(Code.REQUEST_LIMIT_EXCEEDED, "Too many requests a second for this action; try again later.")
        wanted = requests.read(model, signed.method, signed.query, signed.header("content-type") or "", signed.body)
        if isinstance(wanted, requests.DescribeReceipt):
            line.update(command=wanted.command)
            return responses.described(await self._administration.describe(wanted, caller.app.sdk_app_id))
        order = Order(command=caller.fingerprint, correlation=request_id, allowed_app=caller.app.sdk_app_id)
        line.update(room=wanted.room, command=order.command)
        if isinstance(wanted, requests.RemoveRequest):
            # Who it is about is personal data: a number here, the names only where somebody debugs.
            line["users"] = len(wanted.users)
            log.debug("admin_request_users", users=wanted.users)
        began = self._monotonic()
        with self._traced(type(wanted).__name__, signed, order):
            outcome = await self._administration.carry_out(wanted, order)
        assert outcome.reply is not None, "it was answered, or refused"
        self._metrics.carried_out(
            type(wanted).__name__, states_of(outcome.reply, outcome.receipts, outcome.lost), self._monotonic() - began
        )
        return responses.done(outcome)

    @contextlib.contextmanager
    def _traced(self, action: str, signed: tc3.HttpRequest, order: Order) -> Iterator[None]:
        """Have what is done in the block be a span of the trace that the caller names, or of a new one."""
        headers = {name: value for name in ("traceparent", "tracestate") if (value := signed.header(name)) is not None}
        span = self._tracer.begin(action, carried(headers), command=order.command, correlation=order.correlation)
        outcome = "ok"
        try:
            with carrying(span.context):
                yield
        except StagedoorError as error:
            outcome = translate(error).code
            raise
        finally:
            span.end(outcome=outcome)

    async def _read(self, request: StarletteRequest) -> tc3.HttpRequest:
        if request.method not in ("GET", "POST"):
            raise ApiError(Code.UNSUPPORTED_PROTOCOL, "Requests are GET or POST.")
        try:
            body = await read_body(request, self._body_bytes, _BODY_SECONDS, discard=_DISCARDED_BYTES)
        except TimeoutError as error:
            raise ApiError(Code.INVALID_REQUEST, f"The body was not complete in {_BODY_SECONDS:.0f} seconds.") from error
        except BodyTooLargeError as error:
            raise ApiError(Code.REQUEST_SIZE_LIMIT_EXCEEDED, f"The body has more than {self._body_bytes} bytes.") from error
        return tc3.HttpRequest(request.method, request.scope["query_string"], request.headers.raw, body)


def _failed(error: ApiError, line: dict[str, object]) -> dict[str, object]:
    line["code"] = error.code
    return responses.failed(error)

"""Traces: one cause is one trace over all services, by W3C Trace Context in the headers of requests, commands and events.

Off unless ``STAGEDOOR_TRACES`` asks for them. Then OpenTelemetry is imported, in shared/otel.py only, and set up by its own standard
environment variables. Spans have ids, verbs and outcomes, and never who or where.
"""

import contextlib
import functools
import importlib
import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Final, Protocol, cast

from shared.contracts.errors import ConfigurationError
from shared.settings import Settings

Context = Mapping[str, str]
"""The headers that carry a trace on: ``traceparent``, and ``tracestate`` where there is one."""
NO_CONTEXT: Final[Context] = {}
_HEADERS: Final = (("traceparent", 64), ("tracestate", 512))
"""What is carried on, and how long it may be."""
_GROUP_HEADER: Final = "Stagedoor-Traces"
"""``traceparent`` of each traced command, by its id, as JSON: of what is committed together each part has its own trace."""
_current: ContextVar[Context] = ContextVar("trace", default=NO_CONTEXT)


class Span(Protocol):
    """Something that takes its time."""

    @property
    def context(self) -> Context:
        """What carries the trace on to whatever this causes."""
        ...

    def end(self, **attributes: str | int | bool) -> None:
        """End it, and say what came of it."""
        ...


class Tracer(Protocol):
    """Makes spans."""

    def begin(self, name: str, parent: Context, **attributes: str | int | bool) -> Span:
        """Begin a span; without a parent it is the first of a trace."""
        ...

    def close(self) -> None:
        """Send what is left, for a moment."""
        ...


class _NoSpan:
    context = NO_CONTEXT

    def end(self, **attributes: str | int | bool) -> None:
        """Nothing."""


class NoTracer:
    """Traces nothing."""

    _span = _NoSpan()

    def begin(self, name: str, parent: Context, **attributes: str | int | bool) -> Span:  # noqa: ARG002 -- as of Tracer
        """Begin nothing."""
        return self._span

    def close(self) -> None:
        """Nothing."""


def make_tracer(settings: Settings, service: str) -> Tracer:
    """Make what a service traces with.

    Raises:
        ConfigurationError: traces are asked for, and OpenTelemetry is not installed.
    """
    if settings.traces == "off":
        return NoTracer()
    try:
        otel = importlib.import_module("shared.otel")
    except ImportError as error:
        raise ConfigurationError(f"STAGEDOOR_TRACES: install stagedoor[otel] ({error})") from error
    return cast("Tracer", otel.OtelTracer(service))


def carried(headers: Mapping[str, str] | None) -> Context:
    """Take out of a message's or a request's headers what carries a trace on. Whoever sent it may have written anything."""
    if not headers:
        return NO_CONTEXT
    return {name: value for name, most in _HEADERS if (value := headers.get(name)) and len(value) <= most}


def headers_of(contexts: Mapping[str, Context]) -> Context:
    """Build the headers of a message that holds what several commands have come to.

    Args:
        contexts: of each command, by its id; empty where it is not traced.
    """
    if len(contexts) == 1:
        [context] = contexts.values()
        return context
    traced = {command: context["traceparent"] for command, context in contexts.items() if context}
    return {_GROUP_HEADER: json.dumps(traced)} if traced else NO_CONTEXT


def context_of(headers: Mapping[str, str] | None, command: str) -> Context:
    """Find what carries on the trace of one command, in the headers of a message that holds what it has come to."""
    if not headers:
        return NO_CONTEXT
    if (group := headers.get(_GROUP_HEADER)) is None:
        return carried(headers)
    return carried({"traceparent": _read_group(group).get(command, "")})


@functools.lru_cache(maxsize=4)
def _read_group(text: str) -> Mapping[str, str]:
    try:
        traced = json.loads(text)
    # RecursionError is what a header of brackets alone leads to.
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in traced.items() if isinstance(value, str)} if isinstance(traced, dict) else {}


def current() -> dict[str, str] | None:
    """Return the headers for what is sent now; None where nothing is traced."""
    return dict(_current.get()) or None


@contextlib.contextmanager
def carrying(context: Context) -> Iterator[None]:
    """Have what is sent in the block belong to a trace."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)

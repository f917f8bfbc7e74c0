"""Traces by OpenTelemetry, sent with OTLP over HTTP. Imported only where traces are switched on."""

import threading
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.tracing import Context, Span

CLOSE_SECONDS: Final = 2.0
"""A collector that is away must not keep a service from ending."""
_FAILED: Final = frozenset({"overloaded", "not_owner", "expired", "InternalError"})
"""Outcomes that are somebody's trouble, and no answer to a question."""
_propagator = TraceContextTextMapPropagator()


class OtelTracer:
    """Makes spans for one service.

    Args:
        service: its name, for whoever looks at the traces.
    """

    def __init__(self, service: str) -> None:
        resource = Resource.create({SERVICE_NAME: f"stagedoor-{service}"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("stagedoor")

    def begin(self, name: str, parent: Context, **attributes: str | int | bool) -> Span:
        """Begin a span."""
        context = _propagator.extract(dict(parent))
        named = {f"stagedoor.{key}": value for key, value in attributes.items()}
        return _OtelSpan(self._tracer.start_span(name, context, trace.SpanKind.SERVER, named))

    def close(self) -> None:
        """Send what is left, for a moment."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


class _OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self.context: dict[str, str] = {}
        _propagator.inject(self.context, trace.set_span_in_context(span))

    def end(self, **attributes: str | int | bool) -> None:
        for key, value in attributes.items():
            self._span.set_attribute(f"stagedoor.{key}", value)
        if attributes.get("outcome") in _FAILED:
            self._span.set_status(trace.StatusCode.ERROR, str(attributes["outcome"]))
        self._span.end()

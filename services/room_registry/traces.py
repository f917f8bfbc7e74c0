"""The spans of commands that are on their way through this registry, by command id: their commits and answers find them by it."""

from collections.abc import Mapping

from shared.contracts.commands import RoomCommand
from shared.tracing import NO_CONTEXT, Context, Span, Tracer, carried


class CommandTraces:
    """The open spans.

    Args:
        tracer: makes them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[str, Span] = {}

    def begin(self, command: RoomCommand, headers: Mapping[str, str] | None) -> None:
        """Begin the span of a command that came with these headers; one that is traced already goes on. Without a trace there is none."""
        if (parent := carried(headers)) and command.id not in self._open:
            correlation = command.correlation or command.id
            self._open[command.id] = self._tracer.begin(str(command.verb), parent, command=command.id, correlation=correlation)

    def context_of(self, command: str) -> Context:
        """Return what carries a command's trace on."""
        span = self._open.get(command)
        return NO_CONTEXT if span is None else span.context

    def end(self, command: str, outcome: str) -> None:
        """End a command's span, if there is one."""
        if (span := self._open.pop(command, None)) is not None:
            span.end(outcome=outcome)

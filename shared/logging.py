"""Structured logs: JSON lines, or coloured text on a terminal. One canonical line per command and per session end.

What is bound at the door (``correlation``, ``session``) is on every line below it. Libraries that log through the
standard module come out in the same form. Our own lines do not go through it: there is one for each command, and the
standard module's way costs more than deciding the command does.
"""

import contextlib
import json
import logging
import sys

import structlog
from structlog.typing import EventDict, Processor

# Without the local variables: a traceback through the signing code would print its keys.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
_NAMES = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])
_encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode


class _Lines:
    """Writes to stderr, and has the name of the module that logs."""

    def __init__(self, *names: object) -> None:
        self.name: str = _NAMES(*names).name
        self._write = sys.stderr.write

    def _line(self, line: str) -> None:
        # What cannot be logged must not break what is done.
        with contextlib.suppress(OSError, ValueError):
            self._write(line + "\n")

    debug = info = warning = error = critical = _line


def configure(service: str, level: str = "info") -> None:
    """Set up logging for one process; ``service`` is on every line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _name_service(service),
    ]
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if sys.stderr.isatty()
        else [_TRACEBACKS, _render]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("uvicorn.access", "uvicorn.error", "nats", "aioice", "aiortc", "faststream"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _name_service(service: str) -> Processor:
    def processor(_logger: object, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return processor


def _render(_logger: object, _method: str, event: EventDict) -> str:
    return _encode(event)

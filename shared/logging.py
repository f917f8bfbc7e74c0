"""Structured logs: JSON lines, or coloured text on a terminal. One canonical line per command and per session end.

What is bound at the door (``correlation``, ``session``) is on every line below it. Libraries that log through the
standard module come out in the same form. Our own lines do not go through it: there is one for each command, and the
standard module's way costs more than deciding the command does.

Personal data is in the fields that ``PERSONAL`` names and nowhere else. docs/logging.md has every line and field.
"""

import contextlib
import hashlib
import json
import logging
import secrets
import sys
from dataclasses import dataclass
from typing import Final, Literal, Self

import structlog
from structlog.typing import EventDict, Processor

from shared.settings import Settings

PERSONAL: Final = frozenset({"user", "users", "room", "subject", "reply"})
"""Fields that say who, or where somebody is. A subject has its room in it, and what a sender takes for one may, too."""

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


@dataclass(frozen=True)
class Privacy:
    """What becomes of personal data in the log.

    Args:
        mode: ``plain`` leaves it; ``hash`` writes a keyed hash, the same for the same value; ``drop`` leaves the field out.
        key: of the hashes.
    """

    mode: Literal["plain", "hash", "drop"] = "plain"
    key: bytes = b""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Read it from a service's settings."""
        given = settings.log_hash_key
        return cls(
            settings.log_personal, secrets.token_bytes(32) if given is None else hashlib.sha256(given.get_secret_value().encode()).digest()
        )

    def apply(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        """Hide what is to be hidden in one line."""
        for field in PERSONAL & event.keys():
            if self.mode == "drop":
                del event[field]
            elif isinstance(event[field], list | tuple):
                event[field] = [self._hash(each) for each in event[field]]
            else:
                event[field] = self._hash(event[field])
        return event

    def _hash(self, value: object) -> str:
        # Room 1 and room "1" are two.
        return hashlib.blake2b(_encode(value).encode(), key=self.key, digest_size=12).hexdigest()


def configure(service: str, level: str = "info", privacy: Privacy = Privacy()) -> None:
    """Set up logging for one process; ``service`` is on every line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _name_service(service),
        *(() if privacy.mode == "plain" else (privacy.apply,)),
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

"""Receipts for endings that an administrator caused: gathered for a moment, then written until they are stored."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from shared.contracts.errors import UnavailableError
from shared.contracts.receipts import MAX_SESSIONS_PER_RECEIPT, Receipt, SessionReceipt

log = structlog.get_logger()

_HOLD_SECONDS = 0.1
"""How long a stopped session waits for its browser's word, so that most need one receipt instead of two."""
_GATHER_SECONDS = 0.002
"""How long a confirmed one waits for others of the same command: a dismissal confirms many at once."""
_RETRY_SECONDS = 0.5
MAX_WAITING = 200_000


class Ledger(Protocol):
    """Where receipts are stored."""

    async def write(self, receipt: Receipt) -> None:
        """Store a receipt; raises UnavailableError."""
        ...


class ReceiptBook:
    """One gateway's receipts.

    Args:
        gateway: its id.
        ledger: where they are stored.
        clock: Unix time in milliseconds.
    """

    def __init__(self, gateway: str, ledger: Ledger, clock: Callable[[], int]) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._clock = clock
        self._waiting: dict[tuple[int, str], dict[str, SessionReceipt]] = {}
        self._count = 0
        self._due: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def media_stopped(self, app: int, command: str, receipt: SessionReceipt) -> None:
        """Note that a session's media has stopped."""
        self._note(app, command, receipt, _HOLD_SECONDS)

    def told(self, app: int, command: str, receipt: SessionReceipt) -> None:
        """Note that the browser has acknowledged the notice, or the refusal of its resume, just now."""
        self._note(app, command, receipt.model_copy(update={"told_at": self._clock()}), _GATHER_SECONDS)

    async def close(self, seconds: float) -> None:
        """Write what is left, for so long."""
        self._write()
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=seconds)
            self._writing.cancel()
        if self._waiting:
            log.error("receipts_unwritten", sessions=self._count)

    def _note(self, app: int, command: str, receipt: SessionReceipt, delay: float) -> None:
        if self._count >= MAX_WAITING:
            log.error("receipt_lost", session=receipt.session, command=command, limit=MAX_WAITING)
            return
        sessions = self._waiting.setdefault((app, command), {})
        waiting = sessions.get(receipt.session)
        self._count += waiting is None
        sessions[receipt.session] = receipt if waiting is None else _merge(waiting, receipt)
        loop = asyncio.get_running_loop()
        if self._due is None or self._due.when() > loop.time() + delay:
            if self._due is not None:
                self._due.cancel()
            self._due = loop.call_later(delay, self._write)

    def _write(self) -> None:
        self._due = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        while self._waiting:
            (app, command), sessions = next(iter(self._waiting.items()))
            page = tuple(sessions.values())[:MAX_SESSIONS_PER_RECEIPT]
            try:
                await self._ledger.write(Receipt(app=app, command=command, gateway=self._gateway, sessions=page))
            except UnavailableError as error:
                log.warning("receipt_waits", command=command, sessions=self._count, reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for written in page:
                # What was told meanwhile is another receipt.
                if sessions[written.session] is written:
                    del sessions[written.session]
                    self._count -= 1
            if not sessions:
                del self._waiting[app, command]


class Report:
    """What one session reports of its ending.

    Args:
        book: of the gateway.
        app: of the command.
        command: that ended it.
        session: its id.
        user: whose it was.
    """

    def __init__(self, book: ReceiptBook, app: int, command: str, session: str, user: str) -> None:
        self._book = book
        self._app = app
        self._command = command
        self._receipt = SessionReceipt(session=session, user=user)

    def media_stopped(self, at: int) -> None:
        """Report that its media has stopped, in Unix milliseconds."""
        self._receipt = self._receipt.model_copy(update={"media_stopped_at": at})
        self._book.media_stopped(self._app, self._command, self._receipt)

    def told(self) -> None:
        """Report that its browser has acknowledged the notice, or the refusal of its resume, just now."""
        self._book.told(self._app, self._command, self._receipt)


def _merge(old: SessionReceipt, new: SessionReceipt) -> SessionReceipt:
    """Put together what two attachments of one session report: the later stop, and any word of the browser."""
    stops = [each.media_stopped_at for each in (old, new) if each.media_stopped_at is not None]
    return new.model_copy(update={"media_stopped_at": max(stops, default=None), "told_at": old.told_at or new.told_at})

"""Receipts for endings that an administrator caused: gathered for a moment, then written until they are stored."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from shared.contracts.errors import UnavailableError
from shared.contracts.receipts import MAX_SESSIONS_PER_RECEIPT, Receipt, SessionReceipt

log = structlog.get_logger()

_GATHER_SECONDS = 0.002
"""How long one waits for others of the same command: a dismissal ends many at once."""
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
        measure: told whether a receipt was stored.
        dropped: told that one was thrown away.
    """

    def __init__(
        self, gateway: str, ledger: Ledger, clock: Callable[[], int], measure: Callable[[bool], None], dropped: Callable[[], None]
    ) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._clock = clock
        self._measure = measure
        self._dropped = dropped
        self._waiting: dict[tuple[int, str], dict[str, SessionReceipt]] = {}
        self._count = 0
        self._due: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    async def close(self, seconds: float) -> None:
        """Write what is left, for so long."""
        self._write()
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=seconds)
            self._writing.cancel()
        if self._waiting:
            log.error("receipts_unwritten", sessions=self._count)

    @property
    def waiting(self) -> int:
        """Count the sessions whose receipt is not stored yet."""
        return self._count

    def now(self) -> int:
        """Return Unix time in milliseconds."""
        return self._clock()

    def note(self, app: int, command: str, receipt: SessionReceipt) -> None:
        """Have a receipt written, together with what was noted of the same session and is not written yet."""
        if self._count >= MAX_WAITING:
            self._dropped()
            log.error("receipt_lost", session=receipt.session, command=command, limit=MAX_WAITING)
            return
        sessions = self._waiting.setdefault((app, command), {})
        waiting = sessions.get(receipt.session)
        self._count += waiting is None
        sessions[receipt.session] = receipt if waiting is None else _merge(waiting, receipt)
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._write)

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
                self._measure(False)
                log.warning("receipt_waits", command=command, sessions=self._count, reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._measure(True)
            for written in page:
                # What was told meanwhile is another receipt.
                if sessions[written.session] is written:
                    del sessions[written.session]
                    self._count -= 1
            if not sessions:
                del self._waiting[app, command]


@dataclass(frozen=True, slots=True)
class Report:
    """Where one session reports its ending."""

    book: ReceiptBook
    app: int
    command: str
    """Its id: what ended the session."""
    session: str
    user: str

    def write(self, media_stopped_at: int | None, *, told: bool) -> None:
        """Report what is certain by now.

        Args:
            media_stopped_at: in Unix milliseconds; None where this gateway had no media of it.
            told: the browser has acknowledged the notice, or the refusal of its resume, just now.
        """
        told_at = self.book.now() if told else None
        receipt = SessionReceipt(session=self.session, user=self.user, media_stopped_at=media_stopped_at, told_at=told_at)
        self.book.note(self.app, self.command, receipt)


def _merge(old: SessionReceipt, new: SessionReceipt) -> SessionReceipt:
    """Put together what two attachments of one session report: the later stop, and any word of the browser."""
    stops = [each.media_stopped_at for each in (old, new) if each.media_stopped_at is not None]
    return new.model_copy(update={"media_stopped_at": max(stops, default=None), "told_at": old.told_at or new.told_at})

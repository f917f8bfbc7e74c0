"""Gathering the receipts of one command, for a bounded time."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable

from shared.contracts.receipts import Receipt, SessionReceipt


class Gathering:
    """The receipts of one command, as they come in: in any order, and some of them twice."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, SessionReceipt]] = {}
        """By session, then by the gateway that reports."""
        self._stopped: Counter[str] = Counter()
        self._told: set[str] = set()
        self._changed = asyncio.Event()

    def add(self, receipt: Receipt) -> None:
        """Take one more receipt. That a browser was told is never taken back; of two stops on one gateway the later counts."""
        for new in receipt.sessions:
            reports = self.sessions.setdefault(new.session, {})
            old = reports.get(receipt.gateway)
            merged = new if old is None else _merge(old, new)
            reports[receipt.gateway] = merged
            if merged.media_stopped_at is not None and (old is None or old.media_stopped_at is None):
                self._stopped[receipt.gateway] += 1
            if merged.told_at is not None:
                self._told.add(new.session)
        self._changed.set()

    async def until(self, complete: Callable[[], bool], seconds: float) -> None:
        """Wait until the caller has what it wants, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not complete():
                    self._changed.clear()
                    await self._changed.wait()

    def told(self) -> int:
        """Count the sessions whose browsers were told."""
        return len(self._told)

    def stopped(self, gateway: str | None = None) -> int:
        """Count the sessions whose media has stopped on a gateway; on all of them without one, a session once for each."""
        return self._stopped.total() if gateway is None else self._stopped[gateway]


def _merge(old: SessionReceipt, new: SessionReceipt) -> SessionReceipt:
    stops = [each.media_stopped_at for each in (old, new) if each.media_stopped_at is not None]
    tellings = [each.told_at for each in (old, new) if each.told_at is not None]
    return old.model_copy(update={"media_stopped_at": max(stops, default=None), "told_at": min(tellings, default=None)})

"""Gathering the receipts of one command, for a bounded time."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import NamedTuple

from shared.contracts.receipts import Receipt, SessionReceipt


class Reported(NamedTuple):
    """What a gateway reports of one session."""

    gateway: str
    receipt: SessionReceipt


class Gathering:
    """The receipts of one command, as they come in, by session."""

    def __init__(self) -> None:
        self.sessions: dict[str, Reported] = {}
        self._changed = asyncio.Event()

    def add(self, receipt: Receipt) -> None:
        """Take one more receipt. That a browser was told is never taken back."""
        for new in receipt.sessions:
            old = self.sessions.get(new.session)
            if old is None or old.receipt.told_at is None:
                self.sessions[new.session] = Reported(receipt.gateway, new)
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
        return sum(reported.receipt.told_at is not None for reported in self.sessions.values())

"""The writer of one partition: decides what is asked, commits what that comes to, folds it, answers. In this order.

Only what is committed exists: nothing is answered before the commit, and the state changes only by what was committed. When
the outcome of a commit is unknown, or the fence refused it, the writer reads the truth; if nobody else has taken over, it
takes over again and decides the same commands anew. If somebody has, the answer is ``not_owner``, and the senders send them
again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from services.room_registry.domain.decisions import Entry, begin_epoch, decide, lose
from services.room_registry.domain.partition import Partition
from services.room_registry.ledger import MAX_BATCH, Ledger
from shared.contracts.commands import RoomCommand
from shared.contracts.errors import FencedError, RefusalCode, RefusedError, UnavailableError, UnknownOutcomeError
from shared.contracts.replies import Refusal, Reply

log = structlog.get_logger()

_BACKOFF_SECONDS = 0.25


class Loss(NamedTuple):
    """A gateway that the owner has found to be lost."""

    gateway: str
    command: str
    """The id under which that is committed."""
    silent: bool = True
    """Nothing leaves it any more."""


Asked = RoomCommand | Loss


async def _back_off() -> None:
    await asyncio.sleep(_BACKOFF_SECONDS)


class Writer:
    """Writes one partition, or stands by for it.

    Args:
        number: of the partition.
        partition: its state, which somebody else folds, too.
        ledger: where its facts go.
        catch_up: has everything that is committed folded.
        name: of this writer; another process has another.
        clock: Unix time in milliseconds.
        new_id: makes command ids for the writer's own messages.
        back_off: waits before something is tried again.
    """

    def __init__(
        self,
        number: int,
        partition: Partition,
        ledger: Ledger,
        *,
        catch_up: Callable[[], Awaitable[None]],
        name: str,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        back_off: Callable[[], Awaitable[None]] = _back_off,
    ) -> None:
        self.number = number
        self.partition = partition
        self.serving = False
        """It has taken the partition over, and as far as is folded nobody else has since."""
        self._ledger = ledger
        self._catch_up = catch_up
        self._name = name
        self._clock = clock
        self._new_id = new_id
        self._back_off = back_off
        self._log = log.bind(partition=number)

    def yielded(self) -> bool:
        """Look, after something was folded, whether somebody else has taken the partition over; True once."""
        if not self.serving or self.partition.owner == self._name:
            return False
        self.serving = False
        self._log.info("partition_yielded", owner=self.partition.owner)
        return True

    def stand_by(self) -> None:
        """Decide nothing any more."""
        self.serving = False

    async def take_over(self) -> None:
        """Become the one writer: write an epoch, which ends every other one's, and fold everything up to it."""
        while True:
            try:
                entry = begin_epoch(self.partition, self._name, self._new_id(), self._clock())
                seq = await self._ledger.begin(self.number, entry)
                await self._catch_up()
            except (UnavailableError, UnknownOutcomeError, RefusedError) as error:
                self._log.warning("take_over_waits", reason=str(error))
                await self._back_off()
                continue
            self.serving = self.partition.owner == self._name
            if self.serving:
                self._log.info("partition_owned", epoch=seq, rooms=len(self.partition.rooms))
            return

    async def carry_out(self, asked: Sequence[Asked]) -> list[Reply | None]:
        """Decide, commit, and return an answer for each; None is for a loss that is committed."""
        while True:
            replies, entries = self._decide(asked)
            try:
                await self._commit(entries)
            except RefusedError as error:
                if len(asked) > 1:
                    # One of them may be at fault; the others must not suffer for it.
                    return [reply for each in asked for reply in await self.carry_out([each])]
                return [Refusal(code=error.code, message=error.message, retry=error.code is RefusalCode.OVERLOADED)]
            except (FencedError, UnknownOutcomeError) as error:
                self._log.warning("commit_uncertain", messages=len(entries), reason=str(error))
                if not await self._still_mine():
                    return [not_owner() for _ in asked]
            else:
                return replies

    def _decide(self, asked: Sequence[Asked]) -> tuple[list[Reply | None], list[Entry]]:
        """Decide one after the other, each on what the ones before it would leave."""
        draft = self.partition.draft()
        now = self._clock()
        replies: list[Reply | None] = []
        entries: list[Entry] = []
        decided: dict[str, tuple[RoomCommand, Reply]] = {}
        for number, each in enumerate(asked, start=1):
            reply: Reply | None = None
            new: tuple[Entry, ...] = ()
            if isinstance(each, Loss):
                new = lose(draft, each.gateway, each.command, now, silent=each.silent)
                if not new and draft.lost.get(each.gateway) is None:
                    reply = Refusal(code=RefusalCode.OVERLOADED, message="too many lost gateways are remembered", retry=True)
            elif (known := decided.get(each.id)) is not None and known[0] == each:
                # Sent again while it waited here.
                reply = known[1]
            else:
                reply, new = decide(draft, each, now)
                decided[each.id] = each, reply
            replies.append(reply)
            entries += new
            if number < len(asked):
                for entry in new:
                    draft.fold(draft.last_seq + 1, entry.key, entry.message)
        return replies, entries

    async def _commit(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), MAX_BATCH):
            batch = entries[start : start + MAX_BATCH]
            sequences = await self._ledger.commit(self.number, self.partition.last_seq, batch)
            for seq, entry in zip(sequences, batch, strict=True):
                self.partition.fold(seq, entry.key, entry.message)

    async def _still_mine(self) -> bool:
        """After a commit that may or may not be in: read the truth, and if nobody else owns the partition, own it anew."""
        while True:
            try:
                await self._catch_up()
                break
            except UnavailableError as error:
                self._log.warning("truth_waits", reason=str(error))
                await self._back_off()
        if self.partition.owner != self._name:
            return False
        await self.take_over()
        return self.serving


def not_owner() -> Refusal:
    """Answer what is for somebody else to decide."""
    return Refusal(code=RefusalCode.NOT_OWNER, message="another registry owns the partition now", retry=True)

"""The writer of one partition: decides what is asked, commits what that comes to, folds it, answers. In this order.

Only what is committed exists: nothing is answered before the commit, and the state changes only by what was committed. While
one commit is under way, what is asked meanwhile is decided already, on a draft that holds what is under way; it is committed
next. When the outcome of a commit is unknown, or the fence refused it, everything decided on that draft is thrown away, and
the writer reads the truth; if nobody else has taken over, it takes over again and decides the same questions anew. If somebody
has, the answer is ``not_owner``, and the senders send them again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import structlog

from services.room_registry.ahead import Ahead, Asked, Decided, decide_one
from services.room_registry.domain.decisions import begin_epoch
from services.room_registry.domain.partition import Partition
from services.room_registry.ledger import Ledger
from shared.contracts.errors import FencedError, RefusalCode, RefusedError, UnavailableError, UnknownOutcomeError
from shared.contracts.events import Event
from shared.contracts.replies import Refusal, Reply

log = structlog.get_logger()

MAX_COMMIT = 256
"""Questions answered by one commit."""
_BACKOFF_SECONDS = 0.25
_MAX_AHEAD = 2000
"""Decisions on one draft. It never forgets what it holds; a new one is begun when everything on it is committed."""


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
        self._asked: deque[Asked] = deque()
        """Not decided yet, or not any more."""
        self._decided: deque[Decided] = deque()
        """Decided after what is asked for in the commit under way, if there is one."""
        self._ahead: Ahead | None = None
        self._expected = 0
        """The sequence of the message that the next commit follows: what was decided, was decided upon that one. The partition
        may have folded another one since, which somebody else wrote."""
        self._singly = 0
        """So many are to be committed one by one."""
        self._log = log.bind(partition=number)

    def yielded(self) -> bool:
        """Look, after something was folded, whether somebody else has taken the partition over; True once."""
        if not self.serving or self.partition.owner == self._name:
            return False
        self.serving = False
        self._log.info("partition_yielded", owner=self.partition.owner)
        return True

    def stand_by(self) -> None:
        """Decide nothing any more, and forget what was asked."""
        self.serving = False
        self._throw_away(())
        self._asked.clear()

    async def take_over(self) -> None:
        """Become the one writer: write an epoch, which ends every other one's, and fold everything up to it."""
        while True:
            try:
                event = begin_epoch(self.partition, self._name, self._new_id(), self._clock())
                seq = await self._ledger.begin(self.number, event)
                await self._catch_up()
            except (UnavailableError, UnknownOutcomeError, RefusedError) as error:
                self._log.warning("take_over_waits", reason=str(error))
                await self._back_off()
                continue
            self.serving = self.partition.owner == self._name
            if self.serving:
                self._log.info("partition_owned", epoch=seq, rooms=len(self.partition.rooms))
            return

    def ask(self, asked: Asked) -> None:
        """Have something carried out by the next :meth:`commit`, or a later one."""
        self._asked.append(asked)
        self._decide_ahead()

    async def commit(self) -> list[Reply | None]:
        """Commit what was asked, as much of it as goes into one commit, and return the answers.

        They are in the order of the questions; None is for a loss that is declared. Called again when it has returned, as long
        as something asked is not answered; questions may come at any time.
        """
        while self.serving:
            group = self._next_group()
            events = [event for decided in group for event in decided.events]
            try:
                await self._append(events)
            except RefusedError as error:
                self._throw_away(group)
                if len(group) == 1:
                    self._asked.popleft()
                    self._singly = max(0, self._singly - 1)
                    return [Refusal(code=error.code, message=error.message, retry=error.code is RefusalCode.OVERLOADED)]
                # One of them may be at fault; the others must not suffer for it.
                self._singly = len(group)
            except (FencedError, UnknownOutcomeError) as error:
                self._log.warning("commit_uncertain", events=len(events), reason=str(error))
                self._throw_away(group)
                await self._own_anew()
            else:
                self._singly = max(0, self._singly - 1)
                if self._decided and self._ahead is not None:
                    self._ahead.committed(group)
                else:
                    self._ahead = None
                return [decided.reply for decided in group]
        self._throw_away(())
        answers: list[Reply | None] = [not_owner() for _ in self._asked]
        self._asked.clear()
        return answers

    def _next_group(self) -> list[Decided]:
        if self._ahead is None:
            self._expected = self.partition.last_seq
            if len(self._asked) == 1:
                # Nothing is decided upon it before it is committed: that takes no draft.
                return [decide_one(self.partition, self._asked.popleft(), self._clock())]
            self._ahead = Ahead(self.partition)
        self._decide_ahead()
        return [self._decided.popleft() for _ in range(min(len(self._decided), 1 if self._singly else MAX_COMMIT))]

    def _decide_ahead(self) -> None:
        """Decide what is asked, as far as there is a draft for it, and no more than the next commit takes."""
        ahead = self._ahead
        while self._asked and ahead is not None and ahead.decisions < _MAX_AHEAD and len(self._decided) < MAX_COMMIT:
            self._decided.append(ahead.decide(self._asked.popleft(), self._clock()))

    def _throw_away(self, group: Sequence[Decided]) -> None:
        """Have a group, and all that was decided after it, not decided any more."""
        self._asked.extendleft(decided.asked for decided in reversed([*group, *self._decided]))
        self._decided.clear()
        self._ahead = None

    async def _append(self, events: Sequence[Event]) -> None:
        async for seq, committed in self._ledger.commit(self.number, self._expected, events):
            self._expected = seq
            self.partition.fold(seq, committed)

    async def _own_anew(self) -> None:
        """After a commit that may or may not be in: read the truth, and if nobody else owns the partition, own it anew."""
        while True:
            try:
                await self._catch_up()
                break
            except UnavailableError as error:
                self._log.warning("truth_waits", reason=str(error))
                await self._back_off()
        self.yielded()
        if self.serving:
            await self.take_over()


def not_owner() -> Refusal:
    """Answer what is for somebody else to decide."""
    return Refusal(code=RefusalCode.NOT_OWNER, message="another registry owns the partition now", retry=True)

"""A steady load: people who stay, and back ends that remove them; all that they see is written down, and held against the streams."""

import asyncio
import contextlib
import random
import secrets

from tests.faults.checker import check
from tests.faults.collecting import collect
from tests.faults.history import History
from tests.faults.installation import APP
from tests.faults.journal import Journal
from tests.faults.operators import BackEnd
from tests.faults.visitor import Plan, Visitor

FINE = ("done", "FailedOperation.RoomNotExist")
"""Answers to a removal."""
ORDINARY = {"left", "removed", "replaced"}
"""Reasons to have left."""
_ROOMS = 4
_PAUSE = 8.0
_REMOVALS_PER_SECOND = 2.0
_GONE_SECONDS = 60


class Load:
    """Some visitors who stay, lose their sockets and come again, and a back end that removes them.

    Args:
        directory: for what is written down.
        gateways: gives the gateways to choose from, by name, whenever somebody connects.
        admins: gives the addresses of the server API.
        visitors: how many there are.
        seed: decides.
    """

    def __init__(self, directory, gateways, admins, *, visitors=30, seed=1):
        self.directory = directory
        self.journal = Journal(directory / "log.jsonl")
        self.journal.write("settings", isolation_grace=30, reconnect_grace=30)
        self._rng = random.Random(seed)  # noqa: S311 -- a load
        self.back_end = BackEnd(self.journal, admins, self._rng)
        deeds = {"leave": 1, "cut": 2}
        name = f"load-{secrets.token_hex(4)}-"
        self._mine = f"{APP}.s{name}"
        plans = [Plan(f"user-{number}", [f"{name}{room}" for room in range(_ROOMS)], _PAUSE, deeds) for number in range(visitors)]
        self.visitors = [
            Visitor(f"c{number}", self.journal, random.Random(seed * 1000 + number), gateways, plan)  # noqa: S311 -- the same
            for number, plan in enumerate(plans)
        ]
        self._tasks = []
        self.checks = []
        """Called with the load when it has ended, for what the checker does not know."""

    def start(self):
        """Begin."""
        self._tasks = [asyncio.create_task(visitor.live()) for visitor in self.visitors]
        self._tasks.append(asyncio.create_task(self._remove()))

    def cut(self):
        """Have everybody lose the socket."""
        for visitor in self.visitors:
            visitor.cut()

    async def end(self, bus):
        """Have everybody leave, and hold what was seen against the streams, read over the connection that ``bus`` makes."""
        self._tasks.pop().cancel()
        for visitor in self.visitors:
            visitor.calm = True
            visitor.departing.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GONE_SECONDS):
                while any(visitor.stay is not None for visitor in self.visitors):
                    await asyncio.sleep(0.2)
        for visitor in self.visitors:
            visitor.stuck()
        for task in self._tasks:
            task.cancel()
        await self.back_end.close()
        connection = await bus()
        await collect(connection, self.directory)
        await connection.close()
        self.journal.close()
        history = History.load(self.directory)
        # The stream has earlier loads, too, and those who wrote down nothing.
        history.stream = [message for message in history.stream if message.room.startswith(self._mine)]
        commands = {message.body["command"] for message in history.stream}
        history.receipts = [message for message in history.receipts if message.body["command"] in commands]
        return check(history), history

    async def _remove(self):
        async with asyncio.TaskGroup() as group:
            while True:
                await asyncio.sleep(self._rng.expovariate(_REMOVALS_PER_SECOND))
                if there := [visitor for visitor in self.visitors if visitor.stay is not None]:
                    victim = self._rng.choice(there)
                    group.create_task(self.back_end.remove(victim.stay.room, [victim.plan.user]))


def harms(history):
    """Say what somebody noticed: answers that are none, and endings that nobody asked for."""
    answers = [entry["outcome"] for entry in history.log if entry["what"] == "operation"]
    return sorted(set(answers) - set(FINE)) + endings(history) if answers else ["nobody was removed"]


def endings(history):
    """Say why sessions ended, where nobody wanted them to."""
    ended = [fact["reason"] for message in history.stream for fact in message.body.get("facts", []) if fact["kind"] == "left"]
    return sorted(set(ended) - ORDINARY)

"""The load: some hundreds of visitors, and those who make them leave; decided by a seed."""

import asyncio
import random

from tests.faults import media
from tests.faults.media_process import MediaProcess
from tests.faults.operators import BackEnd, Operator
from tests.faults.visitor import Plan, Visitor
from tests.faults.wire import Wire, breaks_sometimes

ROOMS = [1, 2, 3, 4, 5, 6, "1", "a.b c>d", "lobby"]
_BROKEN_SHARE, _BROKEN_BYTES = 0.25, 6000
_TABS = 4
_DEEDS_PER_SECOND = 40
_MEDIA_SHARE, _AWAY_SHARE, _ANYBODY_SHARE = 0.2, 0.4, 0.1
_END_SECONDS = 45.0


class Load:
    """Visitors and operators on an installation.

    Args:
        installation: running.
        journal: written to.
        connection: to the bus, for the operator.
        seed: decides.
        visitors: how many there are.
        rate: deeds of operators a second.
    """

    def __init__(self, installation, journal, connection, seed, *, visitors, rate=2.0):
        self._installation = installation
        self._journal = journal
        self._rng = random.Random(f"{seed} operators")  # noqa: S311 -- a load, not a secret
        self._rate = rate
        self._seed = seed
        self._wires = {}
        self._media = MediaProcess()
        self._calm = False
        self._working = []
        self._under_way = set()
        self._broken = []
        self.operator = Operator(journal, connection)
        self.back_end = BackEnd(journal, lambda: [member.url for member in installation.all("admin_api")], self._rng)
        self.visitors = [self._visitor(seed, number, visitors) for number in range(visitors)]
        self._visits = []

    def _visitor(self, seed, number, of):
        rng = random.Random(f"{seed} visitor {number}")  # noqa: S311 -- the same
        # Every user has a few tabs, so that there are duplicates.
        plan = Plan(f"user-{number // _TABS}", ROOMS, pause=of / _DEEDS_PER_SECOND)
        return Visitor(f"c{number}", self._journal, rng, self._gateways, plan)

    def _gateways(self):
        return {name: f"http://127.0.0.1:{wire.port}" for name, wire in self._wires.items()}

    async def start(self):
        """Begin."""
        breaks = breaks_sometimes(self._rng, _BROKEN_SHARE, _BROKEN_BYTES)
        for gateway in self._installation.gateways:
            self._wires[gateway.name] = Wire(gateway.address, gateway.port, breaks=breaks)
            await self._wires[gateway.name].start()
        self._visits = [asyncio.create_task(visitor.live()) for visitor in self.visitors]
        await self._media.start(self._installation.directory, self._seed, self._gateways())
        self._working = [asyncio.create_task(self._operate())]

    def drop(self, gateway):
        """Cut the sockets of all browsers of a gateway."""
        self._wires[gateway].drop()

    async def calm(self):
        """Have everybody stay where they are; nobody comes, goes or does anything."""
        self._calm = True
        for visitor in self.visitors:
            visitor.calm = True
        self._media.order("calm")
        if self._under_way:
            await asyncio.wait(self._under_way)

    def snapshot(self):
        """Have everybody write down who they believe is there."""
        for visitor in self.visitors:
            visitor.snapshot()
        self._media.order("snapshot")

    async def end(self):
        """Have everybody go: some are dismissed, some removed, the others leave. Nobody may be stuck.

        Returns what is wrong with the harness itself.
        """
        for task in self._working:
            task.cancel()
        for room in self._rng.sample(ROOMS, 3):
            await self.back_end.dismiss(room)
        for visitor in self.visitors:
            visitor.departing.set()
        self._media.order("depart")
        waiting = {asyncio.create_task(self._gone(visitor)) for visitor in self.visitors}
        await asyncio.wait(waiting, timeout=_END_SECONDS)
        for visitor in self.visitors:
            visitor.stuck()
        for task in (*waiting, *self._visits):
            task.cancel()
        outcomes = await asyncio.gather(*self._visits, return_exceptions=True)
        self._broken += [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)]
        media_code = await self._media.end()
        for wire in self._wires.values():
            await wire.close()
        await self.back_end.close()
        return [f"it broke: {error!r}" for error in self._broken] + [f"media ended with {media_code}"] * bool(media_code)

    @staticmethod
    async def _gone(visitor):
        while visitor.stay is not None:
            await asyncio.sleep(0.1)

    async def _operate(self):
        while True:
            await asyncio.sleep(self._rng.expovariate(self._rate))
            if not self._calm:
                task = asyncio.create_task(self._act())
                self._under_way.add(task)
                task.add_done_callback(self._done)

    def _done(self, task):
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._broken.append(task.exception())

    async def _act(self):
        rng = self._rng
        room, users = self._somebody()
        if rng.random() < _MEDIA_SHARE:
            room, users = rng.choice(media.ROOMS), rng.sample(media.USERS, 2)
        deed = rng.choices(["http", "again", "bus", "twice", "reused", "dismiss", "dissolve"], [6, 3, 4, 2, 2, 1, 1])[0]
        if deed in ("http", "again"):
            await self.back_end.remove(room, users, times=2 if deed == "again" else 1)
        elif deed == "dismiss":
            await self.back_end.dismiss(room, times=rng.randrange(1, 3))
        elif deed == "dissolve":
            await self.operator.dismiss(room)
        else:
            command = await self.operator.remove(room, users)
            if deed == "twice":
                await self.operator.remove(room, users, command)
            elif deed == "reused":
                await self.operator.remove(room, [*users, "somebody-else"], command, other=True)

    def _somebody(self):
        """Choose a room and users: who is there, who is about to come back, or anybody."""
        rng = self._rng
        there = [visitor for visitor in self.visitors if visitor.stay is not None]
        away = [visitor for visitor in there if visitor.client is None]
        if away and rng.random() < _AWAY_SHARE:
            there = away
        if not there or rng.random() < _ANYBODY_SHARE:
            return rng.choice(ROOMS), [rng.choice(self.visitors).plan.user, "nobody"]
        room = rng.choice(there).stay.room
        users = sorted({visitor.plan.user for visitor in there if visitor.stay.room == room})
        return room, rng.sample(users, min(len(users), rng.randrange(1, 4)))

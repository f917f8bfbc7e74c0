"""People and back ends at an installation in a cluster, through a proxy before it; all that they see is written down."""

import asyncio
import contextlib
import random
import secrets

from tests.cluster.kube import KubectlError
from tests.faults.checker import check
from tests.faults.collecting import collect
from tests.faults.history import History
from tests.faults.installation import APP
from tests.faults.journal import Journal
from tests.faults.operators import BackEnd
from tests.faults.visitor import Plan, Visitor

_ROOMS = 4
_POLL_SECONDS = 0.3
_PAUSE = 8.0
_REMOVALS_PER_SECOND = 2.0
_GONE_SECONDS = 60
FINE = ("done", "FailedOperation.RoomNotExist")


class Ingress:
    """Has a proxy follow the cluster, as an ingress controller does."""

    def __init__(self, release, proxy, pages=()):
        self._release = release
        self._proxy = proxy
        self._pages = pages
        self.only = None
        """Lead to the gateways of these addresses only."""

    @property
    def address(self):
        """What people and back ends call."""
        return self._proxy.address

    async def follow(self):
        """Follow until cancelled."""
        led = None
        while True:
            with contextlib.suppress(KubectlError):
                ingresses, backends = await asyncio.gather(self._release.kube.get("ingress"), self._release.backends())
                if self.only is not None:
                    backends[f"{self._release.name}-stagedoor-edge-gateway"] = self.only
                if (ingresses, backends) != led:
                    await self._proxy.lead(ingresses, backends, self._pages)
                    led = ingresses, backends
            await asyncio.sleep(_POLL_SECONDS)


class Load:
    """Some visitors who stay, lose their sockets and come again, and a back end that removes them."""

    def __init__(self, directory, address, *, visitors=30, seed=1):
        self.directory = directory
        self.journal = Journal(directory / "log.jsonl")
        self.journal.write("settings", isolation_grace=30, reconnect_grace=30)
        self._rng = random.Random(seed)  # noqa: S311 -- a load
        url = f"http://{address}"
        self.back_end = BackEnd(self.journal, lambda: [f"{url}/"], self._rng)
        deeds = {"leave": 1, "cut": 2}
        name = f"load-{secrets.token_hex(4)}-"
        self._mine = f"{APP}.s{name}"
        plans = [Plan(f"user-{number}", [f"{name}{room}" for room in range(_ROOMS)], _PAUSE, deeds) for number in range(visitors)]
        self.visitors = [
            Visitor(f"c{number}", self.journal, random.Random(seed * 1000 + number), lambda: {"proxy": url}, plan)  # noqa: S311 -- the same
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

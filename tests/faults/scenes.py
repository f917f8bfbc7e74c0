"""Small histories that are played on purpose, each of which a certain bug would spoil."""

import asyncio
import contextlib
import random

from tests.faults import media
from tests.faults.checker import check
from tests.faults.collecting import collect
from tests.faults.history import History
from tests.faults.installation import ISOLATION_GRACE, Installation
from tests.faults.journal import Journal
from tests.faults.media_process import MediaProcess
from tests.faults.operators import Operator
from tests.faults.planted import LATER
from tests.faults.run import connect
from tests.faults.visitor import Plan, Visitor
from tests.support.ports import free_port

_PATIENCE = 10.0
_SOON = 3 * LATER
_NEVER = 1e9


class Scene:
    """An installation, and visitors who do what they are told.

    Args:
        directory: for what it leaves behind.
        planted: name of a bug and the service that has it; None is none.
        replicas: how many there are of each service.
    """

    def __init__(self, directory, planted=None, replicas=1):
        self._directory = directory
        self._planted = planted
        self._installation = Installation(directory, cluster=False, replicas=replicas)
        self._journal = Journal(directory / "log.jsonl")
        self._stack = contextlib.AsyncExitStack()
        self._visits = []
        self._gateways = {}
        self.operator = None
        self.media = MediaProcess()

    async def __aenter__(self):
        self._journal.write("settings", isolation_grace=ISOLATION_GRACE)
        self._stack.callback(self._journal.close)
        self._stack.push_async_callback(self._installation.stop)
        launchers = {}
        if self._planted is not None:
            bug, service = self._planted
            launchers[service] = ("-m", "tests.faults.planted", bug, service)
        try:
            await self._installation.start(("room_registry", "edge_gateway"), launchers)
            self._connection = await connect(self._installation)
        except BaseException:
            await self._stack.aclose()
            raise
        self._stack.push_async_callback(self._connection.close)
        self.operator = Operator(self._journal, self._connection)
        self.reach(True)
        return self

    async def __aexit__(self, *error):
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        await self._stack.aclose()

    def reach(self, can):
        """Let visitors reach the gateways, or not."""
        urls = {member.name: member.url for member in self._installation.gateways}
        self._gateways = urls if can else dict.fromkeys(urls, f"http://127.0.0.1:{free_port()}")

    async def come(self, user, room, role="anchor"):
        """Have somebody come in; returns when they are."""
        visitor = Visitor(f"tab-{len(self._visits)}", self._journal, random.Random(user), lambda: self._gateways, Plan(user, [], _NEVER))  # noqa: S311
        visitor.calm = True
        visit = asyncio.create_task(visitor.come(room, "live", role))
        self._visits.append(visit)
        await self.until(lambda: visitor.stay is not None)
        return visitor

    async def gone(self, *visitors, seconds=_PATIENCE):
        """Wait until visitors have gone, or so long."""
        await self.until(lambda: all(visitor.stay is None for visitor in visitors), seconds)

    async def leave(self, *visitors):
        """Have those who are there leave."""
        for visitor in visitors:
            visitor.departing.set()
        await self.gone(*visitors, seconds=_SOON)

    async def start_media(self):
        """Have visitors with media come, and wait until they hear each other."""
        await self.media.start(self._directory, "scene", self._gateways, "STEADY")
        log = self._directory / "log-media.jsonl"

        def heard():
            return log.exists() and all(f'"source": "{source}"' in log.read_text() for source in self._sources(log))

        await self.until(heard, 3 * _PATIENCE)

    @staticmethod
    def _sources(log):
        joined = [entry for entry in History.entries(log) if entry["what"] == "joined"]
        return [entry["session"] for entry in joined] if len(joined) == len(media.USERS) else ["somebody"]

    @staticmethod
    async def until(condition, seconds=_PATIENCE):
        """Wait for a condition, or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.02)

    async def violations(self):
        """Return what the checker says of all this."""
        await collect(self._connection, self._directory)
        return check(History.load(self._directory))


async def duplicates(scene):
    """The same userId comes in twice: the older hears it, the newer leaves."""
    first = await scene.come("ann", "duplicates")
    second = await scene.come("ann", "duplicates")
    await scene.gone(first, seconds=_SOON)
    await scene.leave(second)


async def comings_and_goings(scene):
    """Some come and leave."""
    visitors = [await scene.come(user, "comings") for user in ("ann", "bob", "cyd")]
    await scene.leave(*visitors)


async def removal(scene):
    """Somebody who is alone is removed; after that, nothing happens."""
    ann = await scene.come("ann", "removal")
    await scene.operator.remove("removal", ["ann"])
    await scene.gone(ann, seconds=2 * _SOON)


async def back_after_a_removal(scene):
    """Somebody is removed, comes back at once, and stays."""
    ann = await scene.come("ann", "back")
    await scene.operator.remove("back", ["ann"])
    await scene.gone(ann)
    again = await scene.come("ann", "back")
    await asyncio.sleep(_SOON)
    await scene.leave(again)


async def removed_twice_with_one_id(scene):
    """The same removal arrives again when its user is back."""
    ann = await scene.come("ann", "repeated")
    command = await scene.operator.remove("repeated", ["ann"])
    await scene.gone(ann)
    again = await scene.come("ann", "repeated")
    await scene.operator.remove("repeated", ["ann"], command)
    await asyncio.sleep(LATER)
    await scene.leave(again)


async def removed_while_away(scene):
    """Somebody loses the socket, is removed, and tries to go on."""
    ann = await scene.come("ann", "away")
    bob = await scene.come("bob", "away")
    scene.reach(False)
    ann.cut()
    await scene.until(lambda: ann.client is None)
    await scene.operator.remove("away", ["ann"])
    scene.reach(True)
    await scene.gone(ann, seconds=_SOON)
    await scene.leave(bob)


async def two_at_once(scene):
    """Two come in at once, and a third one knows both."""
    bob = await scene.come("bob", "two")
    both = await asyncio.gather(scene.come("lost", "two"), scene.come("found", "two"))
    await asyncio.sleep(4)
    bob.snapshot()
    await asyncio.sleep(1)
    await scene.leave(bob, *both)


async def removal_with_media(scene):
    """One of those who hear each other is removed; the others stay for longer than the isolation grace."""
    await scene.start_media()
    await scene.operator.remove(media.ROOMS[0], [media.USERS[0]])
    await asyncio.sleep(ISOLATION_GRACE + 2)
    scene.media.order("depart")
    await asyncio.sleep(2)
    await scene.media.end()

"""What goes wrong, one after another, decided by a seed."""

import asyncio
import contextlib
import os
import random
import signal
import time

from tests.faults.installation import ISOLATION_GRACE, ISOLATION_MARGIN

STREAM = "STAGEDOOR_EVT_V1"
_ONE_AT_A_TIME = 0.8
_PATIENCE = 15.0
_LONG = ISOLATION_GRACE + ISOLATION_MARGIN + 3


class Faults:
    """Injects faults into an installation, and heals each.

    Args:
        installation: running.
        load: whose sockets may be cut.
        journal: written to.
        seed: decides.
    """

    def __init__(self, installation, load, journal, seed):
        self._installation = installation
        self._load = load
        self._journal = journal
        self._rng = random.Random(f"{seed} faults")  # noqa: S311 -- no secret
        self.count = 0

    async def run(self, seconds):
        """Inject for so long, into processes and into what connects them at the same time; everything is healed at the end."""
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._go_on(kinds, until) for kinds in (self._of_processes(), self._of_connections())))

    async def _go_on(self, kinds, until):
        bag = []
        while time.monotonic() < until:
            await asyncio.sleep(self._rng.uniform(0.3, 2.0))
            if not bag:
                # All of them before any comes again.
                bag = self._rng.sample(kinds, len(kinds))
            await self._inject(*bag.pop())

    def _of_processes(self):
        faults = [(fault, member) for member in self._installation.members.values() for fault in (self.kill, self.end, self.freeze)]
        return faults + [(fault, member) for member in self._installation.gateways for fault in (self.kill_media, self.freeze_media)]

    def _of_connections(self):
        cuts = [(fault, member) for member in self._installation.gateways for fault in (self.cut, self.sever, self.drop)]
        cuts += [(self.cut, member) for member in self._installation.all("room_registry")]
        bus = [(self.lose_leader, None), (self.freeze_leader, None)]
        bus += [(self.lose_follower, gateway) for gateway in self._installation.gateways] if self._installation.clustered else []
        return cuts + bus * 2

    async def _inject(self, fault, member):
        if member is not None and self._rng.random() < _ONE_AT_A_TIME:
            await self._until_others_serve(member)
        began = time.time()
        target = member.name if member is not None else "bus"
        await fault(member)
        self.count += 1
        self._journal.write("fault", kind=fault.__name__, target=target, began=began)

    async def _until_others_serve(self, member):
        """Wait, for a while, until the other replicas of a service are there: else nothing is, and nothing is tried."""
        others = [other for other in self._installation.all(member.service) if other is not member]
        with contextlib.suppress(TimeoutError):
            await asyncio.gather(*(other.ready(_PATIENCE) for other in others))

    def _seconds(self, most):
        return self._rng.uniform(0.2, most)

    async def kill(self, member):
        """A process is gone from one instant to the next."""
        member.send(signal.SIGKILL)

    async def end(self, member):
        """A process is asked to end, as when it is replaced."""
        member.send(signal.SIGTERM)

    async def freeze(self, member):
        """A process stands still, then goes on as if nothing had been."""
        with member.freezing():
            await asyncio.sleep(self._seconds(_LONG))

    async def kill_media(self, member):
        """What forwards a gateway's media is gone, and the gateway is not."""
        member.send_to_media(signal.SIGKILL)

    async def freeze_media(self, member):
        """It stands still, for a moment or until the gateway has had enough of that."""
        frozen = member.send_to_media(signal.SIGSTOP)
        await asyncio.sleep(self._seconds(_LONG))
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def cut(self, member):
        """A process and the bus do not hear each other; nobody tells them. Browsers and media reach a gateway all the same."""
        await member.cut()
        await asyncio.sleep(self._rng.choice([self._seconds(ISOLATION_GRACE), _LONG]))
        await member.heal()

    async def sever(self, member):
        """The connection to the bus breaks, and cannot be made again for a while."""
        for wire in member.wires:
            wire.cut()
        await asyncio.sleep(self._seconds(_LONG))
        for wire in member.wires:
            wire.heal()

    async def drop(self, member):
        """All browsers of a gateway lose their sockets."""
        self._load.drop(member.name)

    async def lose_leader(self, _member):
        """The nats-server that leads the stream is gone, and comes back."""
        await self._lose(await self._leader())

    async def freeze_leader(self, _member):
        """The nats-server that leads the stream stands still."""
        node = await self._leader()
        os.kill(node.process.pid, signal.SIGSTOP)
        await asyncio.sleep(self._seconds(4))
        os.kill(node.process.pid, signal.SIGCONT)

    async def lose_follower(self, gateway):
        """The nats-server that a gateway is attached to is gone, and does not lead: what it had not passed on is lost."""
        leader = await self._leader()
        used = [node for node, wire in zip(self._installation.nodes, gateway.wires, strict=True) if wire.used and node is not leader]
        if used:
            await self._lose(used[0])

    async def _lose(self, node):
        await node.stop(self._rng.choice([signal.SIGKILL, signal.SIGTERM]))
        await asyncio.sleep(self._seconds(6) if self._installation.clustered else self._seconds(3))
        await node.start()

    async def _leader(self):
        if not self._installation.clustered:
            return self._installation.bus
        with contextlib.suppress(TimeoutError):
            return await self._installation.bus.until_leader(STREAM)
        return self._rng.choice(self._installation.nodes)

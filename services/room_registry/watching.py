"""Watching the gateways that matter to the partitions that this replica serves, and declaring those lost that are."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

import structlog

from services.room_registry.owner import Owner
from services.room_registry.watch import Sight, Watch
from shared.clients.leases import GatewayLeases
from shared.contracts.errors import UnavailableError

log = structlog.get_logger()

ROUND_SECONDS = 1.0
_READS_AT_ONCE = 16


class Watching:
    """A round of reads a second, one read for each gateway.

    Args:
        leases: over the replica's connection.
        owners: one for each partition.
        make_watch: makes what an owner remembers, each time it takes its partition over.
        measure: told how many leases could not be read.
    """

    def __init__(
        self, leases: GatewayLeases, owners: Sequence[Owner], make_watch: Callable[[], Watch], measure: Callable[[int], None]
    ) -> None:
        self._leases = leases
        self._owners = owners
        self._make_watch = make_watch
        self._measure = measure
        self._watches: dict[int, tuple[int, Watch]] = {}
        self._reads = asyncio.Semaphore(_READS_AT_ONCE)

    async def keep(self, fail: Callable[[str], None]) -> None:
        """Watch until cancelled. ``fail`` is told why, if that cannot go on."""
        try:
            while True:
                began = time.monotonic()
                await self._round()
                await asyncio.sleep(max(0.0, began + ROUND_SECONDS - time.monotonic()))
        except Exception as error:
            log.exception("watching_broken")
            fail(f"watching the gateways broke: {error}")

    async def _round(self) -> None:
        wanted = {gateway for owner in self._owners if owner.serving for gateway in owner.partition.gateways()}
        sights = dict(zip(wanted, await asyncio.gather(*(self._look(gateway) for gateway in wanted)), strict=True))
        if missed := sum(sight is None for sight in sights.values()):
            self._measure(missed)
            log.warning("leases_unread", gateways=missed)
        for owner in self._owners:
            if owner.serving:
                self._judge(owner, sights)
            else:
                self._watches.pop(owner.number, None)

    def _judge(self, owner: Owner, sights: dict[str, Sight | None]) -> None:
        gateways = owner.partition.gateways()
        watch = self._watch_of(owner, gateways)
        for gateway in gateways:
            if (loss := owner.partition.lost.get(gateway)) is not None:
                # Whoever declared it lost did not come to the end of it.
                owner.declare_lost(gateway, silent=loss.silent)
            elif gateway in sights:
                sight = sights[gateway]
                if sight is None:
                    watch.miss(gateway)
                elif watch.see(gateway, sight):
                    owner.declare_lost(gateway, silent=watch.is_silent(sight))

    def _watch_of(self, owner: Owner, gateways: Collection[str]) -> Watch:
        epoch, watch = self._watches.get(owner.number, (0, None))
        if watch is None or epoch != owner.partition.epoch:
            watch = self._make_watch()
            self._watches[owner.number] = owner.partition.epoch, watch
        watch.keep(gateways)
        return watch

    async def _look(self, gateway: str) -> Sight | None:
        async with self._reads:
            asked = time.monotonic()
            try:
                revision, lease = await self._leases.read(gateway)
            except UnavailableError:
                return None
            return Sight(revision, lease, asked, time.monotonic())

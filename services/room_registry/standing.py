"""Standing for partitions: says that this replica is there, hears who else is, and owns what falls to it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from services.room_registry.election import Election
from services.room_registry.owner import Owner
from shared.contracts.errors import StagedoorError
from shared.contracts.leases import Lease
from shared.contracts.subjects import COMMANDS, LEASES

log = structlog.get_logger()

_BEATS_PER_LEASE = 4


class Standing:
    """One replica among others.

    Args:
        connection: to NATS.
        owners: one for each partition.
        me: this replica's id.
        lease: seconds without a word after which a replica counts as gone.
        fail: told when a partition cannot be served any more.
    """

    def __init__(self, connection: Client, owners: Sequence[Owner], me: str, lease: float, fail: Callable[[str], None]) -> None:
        self._connection = connection
        self._owners = owners
        self._me = me
        self._lease = lease
        self._fail = fail
        self._election = Election(me, lease)
        self._leaving = False
        self._owning: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        """Others have come or gone."""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to stand; partitions are taken over a moment later, when the others have answered."""
        await self._connection.subscribe(LEASES.subscription(), cb=self._hear)
        await self._beat()
        await self._connection.flush()
        self._tasks = [asyncio.create_task(each) for each in (self._keep_beating(), self._stand())]

    def missing(self) -> list[str]:
        """Name the partitions that fall to this replica and are not served yet."""
        if not self._tasks:
            return ["standing for partitions"]
        mine = self._election.mine(len(self._owners), time.monotonic())
        return [f"partition {number}" for number in sorted(mine) if not self._owners[number].serving]

    def replicas(self) -> int:
        """Count the registries that are there, this one included."""
        return 1 + len(self._election.others(time.monotonic()))

    async def leave(self, seconds: float) -> None:
        """Hand over: serve until a successor's epoch is seen, or, where there is nobody else, until all is answered."""
        for task in self._tasks:
            task.cancel()
        self._election.leave()
        self._leaving = True
        try:
            async with asyncio.timeout(seconds):
                if self._election.others(time.monotonic()):
                    await self._beat()
                    await asyncio.gather(*self._owning.values())
                else:
                    await asyncio.gather(*(self._retire(number) for number in list(self._owning)))
        except (TimeoutError, nats.errors.Error) as error:
            log.warning("not_handed_over", reason=str(error) or type(error).__name__)
        for task in self._owning.values():
            task.cancel()

    async def _retire(self, number: int) -> None:
        """Stop taking commands, answer those that are here."""
        owner = self._owners[number]
        await owner.stop_taking()
        if owner.serving:
            await owner.drain()

    async def _keep_beating(self) -> None:
        """Say so at a pace of its own: whatever happens to partitions, the others must not take this replica for gone."""
        while True:
            await asyncio.sleep(self._lease / _BEATS_PER_LEASE)
            await self._beat()

    async def _stand(self) -> None:
        # Those who are there answer a newcomer at once.
        await asyncio.sleep(self._lease / _BEATS_PER_LEASE / 2)
        while True:
            self._changed.clear()
            mine = self._election.mine(len(self._owners), time.monotonic())
            for number in mine - self._owning.keys():
                self._owning[number] = asyncio.create_task(self._own(number))
            # Who has lost a partition tries again no sooner than the others can have been heard.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease / _BEATS_PER_LEASE):
                    await self._changed.wait()

    async def _own(self, number: int) -> None:
        owner = self._owners[number]
        try:
            # Subscribed before the epoch: what arrives in between waits in the queue.
            subscription = await self._connection.subscribe(COMMANDS.subscription(partition=number), cb=owner.offer)
            owner.taking_from(subscription)
            await self._connection.flush()
            await owner.own()
            await owner.stop_taking()
            await owner.give_back()
        except StagedoorError as error:
            self._fail(str(error))
        except nats.errors.Error as error:
            log.warning("owner_interrupted", partition=number, reason=str(error) or type(error).__name__)
        except Exception as error:
            log.exception("owner_broken", partition=number)
            self._fail(f"the owner of partition {number} broke: {error}")
        finally:
            self._owning.pop(number, None)

    async def _hear(self, message: Msg) -> None:
        try:
            lease = Lease.model_validate_json(message.data)
        except ValidationError:
            log.warning("lease_unreadable", subject=message.subject)
            return
        if lease.replica == self._me:
            return
        if self._election.hear(lease.replica, time.monotonic(), leaving=lease.leaving):
            log.info("replica_heard", replica=lease.replica)
            self._changed.set()
            await self._beat()
        if lease.leaving:
            log.info("replica_leaves", replica=lease.replica)
            self._changed.set()

    async def _beat(self) -> None:
        lease = Lease(replica=self._me, leaving=self._leaving)
        try:
            await self._connection.publish(LEASES.pattern.format(replica=self._me), lease.to_bytes())
        except nats.errors.Error as error:
            log.warning("lease_unsent", reason=str(error) or type(error).__name__)

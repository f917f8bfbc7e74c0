"""Gateways that are watched by their leases on a real nats-server: who falls silent is lost, and nobody else."""

import asyncio
import contextlib

import nats
import pytest

from services.room_registry.app import build
from services.room_registry.domain.partition import Partition
from shared.bus.stream import EventStream
from shared.clients.answers import Answers
from shared.contracts.commands import Role, Verb
from shared.contracts.errors import RefusalCode, RefusedError, SessionEndedError
from shared.contracts.events import read_events
from shared.contracts.facts import Committed, GatewayLost
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.subjects import GATEWAY_STREAM, PUBLISHED_EVENTS, event_subject, partition_in, partition_of
from tests.room_registry.conftest import APP, EDGE, OTHER, PARTITIONS, Caller, renewing
from tests.support.facts import facts_in
from tests.support.running import running

CANARY = "canary_" + "c" * 16
"""Has no lease. When it is lost, any other gateway that is silent since then would be, too."""
GRACES = {"isolation": 0.5, "reconnect": 0.5}
LEASE_READS = f"$JS.API.STREAM.MSG.GET.{GATEWAY_STREAM}"


@pytest.fixture
def settings(registry_settings):
    """Patience with gateways: 1.5 s."""
    return registry_settings.model_copy(
        update={"isolation_margin": 1.0, "isolation_grace": 0.5, "reconnect_grace": 0.5, "lease_seconds": 0.5}
    )


class Facts:
    """What is committed from now on."""

    def __init__(self, subscription):
        self.subscription = subscription
        self.lost = set()

    async def until(self, kind, wanted):
        """Wait for a fact; gateways that are lost meanwhile are written down."""
        async with asyncio.timeout(30):
            while True:
                message = await self.subscription.next_msg(timeout=30)
                for fact in facts_in(message):
                    if isinstance(fact, GatewayLost):
                        self.lost.add(fact.gateway)
                    if fact.kind == kind and wanted(fact):
                        return fact

    async def until_lost(self, gateway):
        await self.until("gateway_lost", lambda fact: fact.gateway == gateway)


@pytest.fixture
async def facts(bus):
    return Facts(await bus.subscribe(PUBLISHED_EVENTS.subscription()))


async def test_a_gateway_that_falls_silent_is_lost_and_its_sessions_end(settings, caller, bus, facts):
    """Those of another one go on, and so does one that was resumed there in time."""
    async with running(build(settings)), renewing(bus, OTHER, **GRACES):
        async with renewing(bus, EDGE, **GRACES):
            gone = await caller.join("ann")
            moved = await caller.join("bob")
            await caller.join("eve", gateway=CANARY)
            await facts.until_lost(CANARY)
            await caller.resume(moved)
        left = await facts.until("left", lambda fact: fact.sessions[0].session == gone)
        assert (left.reason, left.sessions[0].gateway) == (LeaveReason.TIMED_OUT, EDGE)
        assert facts.lost == {CANARY, EDGE}
        with pytest.raises(RefusedError) as refused:
            await caller.join("dan", gateway=EDGE)
        assert refused.value.code is RefusalCode.GATEWAY_LOST
        with pytest.raises(SessionEndedError) as ended:
            await caller.resume(gone)
        assert ended.value.reason == LeaveReason.TIMED_OUT
        await caller.switch_role(moved, Role.AUDIENCE, attachment=2)
        await caller.detach(moved, 1)


async def test_a_lease_that_goes_on_outlives_the_owners(settings, caller, bus, facts):
    """Each owner's clock is its own, and starts when it takes over: what the one before has seen is not held against anybody."""
    async with contextlib.AsyncExitStack() as second, renewing(bus, EDGE, **GRACES):
        async with running(build(settings)):
            await caller.join("ann")
            await second.enter_async_context(running(build(settings)))
        await caller.join("eve", gateway=CANARY)
        await facts.until_lost(CANARY)
        assert facts.lost == {CANARY}
        await caller.join("bob")


async def test_an_outage_of_the_bus_is_held_against_nobody(settings, nats_server, bus, facts):
    """Longer than any patience. The registry reads leases before the gateway can renew its own, and waits for it anew."""
    async with running(build(settings.model_copy(update={"isolation_margin": 4.0}))):
        async with renewing(bus, EDGE, **GRACES):
            await Caller(bus).join("ann")
            reads = await bus.subscribe(LEASE_READS)
            for _ in range(2):
                await reads.next_msg(timeout=10)
        await nats_server.stop()
        await asyncio.sleep(5.0)  # so long is the outage
        await nats_server.start()
        after = await nats.connect(nats_server.url)
        reads = await after.subscribe(LEASE_READS)
        facts = Facts(await after.subscribe(PUBLISHED_EVENTS.subscription()))
        for _ in range(2):
            await reads.next_msg(timeout=30)
        async with renewing(after, EDGE, **GRACES):
            caller = Caller(after, seconds=20)
            await caller.join("eve", gateway=CANARY)
            await facts.until_lost(CANARY)
            assert facts.lost == {CANARY}
            await caller.join("bob")
        await after.close()


async def test_a_loss_that_its_owner_did_not_finish_is_finished(settings, caller, bus, facts):
    """It died between the loss and the endings: the stream says what is left to do."""
    async with renewing(bus, EDGE, **GRACES), running(build(settings)):
        session = await caller.join("ann")
        loss = Committed(command="loss", correlation="loss", at=0, facts=(GatewayLost(gateway=EDGE),))
        subject = event_subject(partition_of(RoomKey(APP, 1), PARTITIONS), None, Verb.LOSE)
        await bus.jetstream().publish(subject, loss.to_bytes())
        left = await facts.until("left", lambda fact: fact.sessions[0].session == session)
        assert left.reason is LeaveReason.TIMED_OUT
        stream = EventStream(bus)
        replica = Partition(settings.limits())
        async for stored in stream.read(0, await stream.last_seq()):
            if partition_in(stored.subject) == partition_of(RoomKey(APP, 1), PARTITIONS):
                replica.fold(stored.seq, read_events(stored.subject, stored.data))
        assert not replica.rooms


async def test_a_gateway_that_never_stops_by_itself_leaves_receipts_open(settings, caller, bus, facts):
    """It is lost, its sessions end, and what it was to report is not known."""
    async with running(build(settings)):
        async with renewing(bus, EDGE, isolation=None, reconnect=0.5):
            await caller.join("ann")
            reply = await caller.remove("ann", id="kick")
            session = await caller.join("bob")
        left = await facts.until("left", lambda fact: fact.sessions[0].session == session)
        assert left.reason is LeaveReason.TIMED_OUT
        assert facts.lost == {EDGE}
        answer = await Answers(bus).ask(APP, "kick", 5)
        assert (answer.answer, answer.lost) == (reply, ())


async def test_who_waits_for_a_receipt_learns_that_its_gateway_is_lost(settings, caller, bus, facts):
    """The gateway holds nothing any more, and still is watched: it has not said that it let go."""
    async with running(build(settings)):
        async with renewing(bus, EDGE, **GRACES):
            await caller.join("ann")
            reply = await caller.remove("ann", id="kick")
            answer = await Answers(bus).ask(APP, "kick", 5)
            assert (answer.answer, answer.lost) == (reply, ())
            await caller.join("bob")
            dismissed = await caller.dismiss(id="end")
            assert (dismissed.sessions, dismissed.attachments) == (1, {EDGE: 1})
            await caller.join("eve", gateway=CANARY)
            await facts.until_lost(CANARY)
            assert facts.lost == {CANARY}
        await facts.until_lost(EDGE)
        # Who hears the fact here may ask before the registry has folded it.
        async with asyncio.timeout(5):
            while not (answer := await Answers(bus).ask(APP, "kick", 5)).lost:
                await asyncio.sleep(0.01)
        assert (answer.answer, answer.lost) == (reply, (EDGE,))
        answer = await Answers(bus).ask(APP, "end", 5)
        assert (answer.answer, answer.lost) == (dismissed, (EDGE,))
        assert (await Answers(bus).ask(APP, "unknown", 5)).answer is None
        assert (await Answers(bus).ask(APP + 1, "kick", 5)).answer is None

"""Several registries: who owns what, and that nobody's command is lost when it changes."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from cli.nats_server import die_with_parent
from services.room_registry.app import build
from shared.bus.follower import Follower
from shared.bus.stream import EventStream
from shared.clients.answers import Answers
from shared.contracts.commands import Verb
from shared.contracts.events import read_events
from shared.contracts.facts import Committed, EpochBegan
from shared.contracts.leases import Lease
from shared.contracts.subjects import LEASES, PUBLISHED_EVENTS, event_subject
from tests.room_registry.conftest import APP, PARTITIONS
from tests.support.facts import facts_in
from tests.support.ports import free_port
from tests.support.running import running, until_answers

LEASE = 1.0


@pytest.fixture
def settings(registry_settings):
    return registry_settings.model_copy(update={"lease_seconds": LEASE})


async def history(bus):
    stream = EventStream(bus)
    return [event.message async for m in stream.read(0, await stream.last_seq()) for event in read_events(m.subject, m.data)]


def sessions(messages, kind):
    for message in messages:
        for fact in message.facts:
            if fact.kind == kind == "joined":
                yield fact.session
            elif fact.kind == kind == "left":
                yield from (end.session for end in fact.sessions)


async def owners(bus):
    owner_of = {}
    stream = EventStream(bus)
    async for stored in stream.read(0, await stream.last_seq()):
        for fact in facts_in(stored):
            if fact.kind == "epoch_began":
                owner_of[stored.subject.split(".")[3]] = fact.owner
    return owner_of


class Load:
    """People who come and go, one after the other in each of several rooms, until told to stop."""

    def __init__(self, caller, rooms=16):
        self.caller = caller
        self.done = Counter()
        self.stopping = asyncio.Event()
        self.tasks = [asyncio.create_task(self._run(room)) for room in range(1, rooms + 1)]

    async def _run(self, room):
        while not self.stopping.is_set():
            session = await self.caller.join(f"user{room}", room=room)
            await self.caller.leave(session, room=room)
            self.done["pairs"] += 1

    async def until(self, count):
        wanted = self.done["pairs"] + count
        async with asyncio.timeout(30):
            while self.done["pairs"] < wanted:
                failed = [task for task in self.tasks if task.done()]
                assert not failed, failed[0].exception()
                await asyncio.sleep(0.01)

    async def stop(self):
        self.stopping.set()
        await asyncio.gather(*self.tasks)


async def check(bus, load):
    """Every join is in the stream once, and so is its ending."""
    messages = await history(bus)
    joined, left = Counter(sessions(messages, "joined")), Counter(sessions(messages, "left"))
    assert set(joined.values()) == {1}
    assert joined == left
    assert len(joined) == load.done["pairs"]


async def test_replicas_share_the_partitions_and_lose_no_command_when_they_come_and_go(settings, caller, bus):
    """Under load, one joins, the first leaves, another comes: every command is answered, and carried out once."""
    async with running(build(settings)):
        load = Load(caller)
        await load.until(50)
        second = build(settings)
        async with running(second):
            await load.until(50)
            assert len(set((await owners(bus)).values())) == 2
        await load.until(50)
        async with running(build(settings)):
            await load.until(50)
            await load.stop()
    await check(bus, load)


async def test_any_replica_says_what_was_answered(settings, caller, bus, monkeypatch):
    """At once, also one that has not heard of it yet: here they hear of nothing, and look once a second."""

    async def hear_nothing(_follower, _message):
        pass

    monkeypatch.setattr(Follower, "_take", hear_nothing)
    async with running(build(settings)), running(build(settings)):
        await caller.join("ann")
        reply = await caller.remove("ann", id="kick")
        assert [(await Answers(bus).ask(APP, "kick", 5)).answer for _ in range(20)] == [reply] * 20
        assert (await Answers(bus).ask(APP, "unknown", 5)).answer is None


async def test_who_loses_a_partition_again_and_again_still_says_that_it_is_there(settings, bus):
    """Somebody takes it back each time at once. If either fell silent over that, neither would ever hear that the other is there."""
    rival, rounds = "f" * 32, 8
    said = asyncio.Queue()
    await bus.subscribe(LEASES.subscription(), cb=said.put)
    await bus.subscribe(PUBLISHED_EVENTS.subscription(partition=0, verb=Verb.EPOCH), cb=said.put)
    epoch = Committed(command="c", correlation="c", at=0, facts=(EpochBegan(owner=rival),))
    leases, epochs = 0, 0
    async with running(build(settings)), asyncio.timeout(60):
        while epochs < rounds:
            message = await said.get()
            if message.subject.startswith(LEASES.pattern.format(replica="")):
                leases += 1
            elif [fact.owner for fact in facts_in(message)] != [rival]:
                epochs += 1
                await bus.jetstream().publish(event_subject(0, None, Verb.EPOCH), epoch.to_bytes())
    assert leases >= rounds / 2


async def test_who_leaves_says_so_to_newcomers_too(settings, bus):
    """Otherwise all would take it for one that stands again, and leave partitions to it until it has been silent for a lease."""
    rival, newcomer = "f" * 32, "e" * 32
    said = asyncio.Queue()

    async def hear(message):
        lease = Lease.model_validate_json(message.data)
        if lease.replica not in (rival, newcomer):
            await said.put(lease.leaving)

    async def stand(replica):
        await bus.publish(LEASES.pattern.format(replica=replica), Lease(replica=replica, leaving=False).to_bytes())
        await bus.flush()

    await bus.subscribe(LEASES.subscription(), cb=hear)
    service = build(settings)
    async with running(service), asyncio.timeout(20):
        await stand(rival)
        service.stop()
        while not await said.get():
            pass
        await stand(newcomer)
        assert await said.get()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
async def test_the_other_replica_takes_over(settings, nats_server, caller, bus, number):
    """From one that is killed, frozen or ended; what is frozen and wakes up again cannot write."""
    port = free_port()
    environment = os.environ | {
        "STAGEDOOR_NATS_URL": nats_server.url,
        "STAGEDOOR_PORT": str(port),
        "STAGEDOOR_LEASE_SECONDS": str(LEASE),
        "STAGEDOOR_PARTITIONS": str(PARTITIONS),
    }
    async with running(build(settings)):
        victim = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.room_registry", cwd=Path(__file__).parents[2], env=environment, preexec_fn=die_with_parent
        )
        try:
            await until_answers(f"http://127.0.0.1:{port}/readyz")
            load = Load(caller)
            await load.until(50)
            assert len(set((await owners(bus)).values())) == 2
            victim.send_signal(number)
            await load.until(200)
            if number == signal.SIGSTOP:
                victim.send_signal(signal.SIGCONT)
                await load.until(200)
            await load.stop()
        finally:
            if victim.returncode is None:
                victim.kill()
            await victim.wait()
    await check(bus, load)

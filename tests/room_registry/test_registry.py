"""The registry alone on a real nats-server."""

import asyncio
import json

import httpx
import nats
import pytest

from services.room_registry.app import build
from services.room_registry.settings import RegistrySettings
from shared.bus.stream import EventStream
from shared.clients.commands import CommandClient, deadline
from shared.contracts.commands import Join, Remove, Role, Verb
from shared.contracts.errors import RefusalCode, RefusedError
from shared.contracts.facts import Committed
from shared.contracts.ids import RoomKey
from shared.contracts.replies import RoomsReply
from shared.contracts.subjects import DOOR, PUBLISHED_EVENTS, ROOMS, STREAM, command_subject, partition_of
from shared.service import ServiceFailedError
from tests.room_registry.conftest import APP, EDGE, OTHER, PARTITIONS, Caller
from tests.support.facts import facts_in
from tests.support.running import running


async def stored(bus):
    stream = EventStream(bus)
    return [message async for message in stream.read(0, await stream.last_seq())]


async def rooms(bus):
    found = []
    for partition in range(PARTITIONS):
        reply = await bus.request(ROOMS.pattern.format(partition=partition), b"{}", timeout=2)
        found += RoomsReply.model_validate_json(reply.data).rooms
    return {room.room: room.anchors for room in found}


async def test_what_is_answered_is_in_the_stream_and_republished(registry, caller, bus):
    """One message per command, with all its facts, on the subject that names the room."""
    heard = await bus.subscribe(PUBLISHED_EVENTS.subscription(room="s" + "a=2Eb=20c=3Ed"))
    await caller.join("用户2 😀", room="a.b c>d")
    reply = await caller.remove("用户2 😀", room="a.b c>d")
    assert [removed.user for removed in reply.removed] == ["用户2 😀"]
    messages = [await heard.next_msg(timeout=2) for _ in range(2)]
    kinds = [[fact.kind for fact in facts_in(message)] for message in messages]
    assert kinds == [["joined"], ["left"]]
    assert messages[1].headers["Nats-Sequence"] == str((await stored(bus))[-1].seq)


async def test_a_registry_that_starts_finds_its_rooms_again(registry_settings, caller, bus):
    """Folded from the stream: members, endings and remembered answers."""
    async with running(build(registry_settings)):
        gone = await caller.join("ann")
        first = await caller.remove("ann", id="kick")
        await caller.join("bob")
    async with running(build(registry_settings)):
        assert await rooms(bus) == {1: ("bob",)}
        assert await caller.remove("ann", id="kick") == first
        with pytest.raises(RefusedError) as refused:
            await caller.join("ann", session=gone)
        assert refused.value.code is RefusalCode.SESSION_ENDED


async def test_somebody_elses_message_in_a_partition_is_folded_and_followed(registry, caller, bus):
    """The next commit expects it; that a writer who does not know it is refused is shown in test_ledger.py."""
    key = RoomKey(APP, 1)
    partition = partition_of(key, PARTITIONS)
    intruder = Committed(command="x", correlation="x", at=0)
    await bus.jetstream().publish(f"stagedoor.v1.evt.{partition}.{APP}.n1.join", intruder.to_bytes())
    await caller.join("ann")
    assert await rooms(bus) == {1: ("ann",)}


async def test_the_door_passes_on_and_the_owner_answers(registry, caller, bus):
    """An operator computes no hash."""
    await caller.join("ann")
    through_the_door = CommandClient(bus)
    reply = await through_the_door.send(Remove(id="ops", app=APP, room=1, users=("ann", "bob"), expires_at=deadline(10)))
    assert [removed.user for removed in reply.removed] == ["ann"]
    assert reply.not_found == ("bob",)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b"\xff\xfe",
        b'{"id":"c","app":1400000001,"room":1,"users":["ann"]',
        b'{"id":1}',
        b"x" * 70_000,
        b'"\\ud800"',
    ],
)
@pytest.mark.parametrize("partition", [DOOR, partition_of(RoomKey(APP, 1), PARTITIONS)])
async def test_malformed_commands_are_refused_and_the_service_lives(registry, caller, bus, body, partition):
    """With an answer, through the door too."""
    reply = await bus.request(command_subject(partition, RoomKey(APP, 1), Verb.REMOVE), body, timeout=2)
    assert json.loads(reply.data)["code"] == "bad_request"
    await caller.join("ann")


@pytest.mark.parametrize(
    "subject", ["1400000001.n1.explode", "1400000001.n1.join", "1400000001.s=2A.remove", "zero.n1.remove", "_._.lose", "_._.epoch"]
)
async def test_subjects_that_nobody_builds_are_refused_at_the_door(registry, bus, subject):
    """A verb, a room or an app that is none."""
    reply = await bus.request(f"stagedoor.v1.cmd.{DOOR}.{subject}", b"{}", timeout=2)
    assert json.loads(reply.data)["code"] == "bad_request"


@pytest.mark.parametrize("reply", ["stagedoor.v1.evt.0._._.epoch", "stagedoor.v1.cmd.0._._.lose", "$JS.API.STREAM.PURGE.X"])
async def test_the_registry_writes_where_a_sender_may_answer_only(registry, caller, bus, reply):
    """Who names another subject than an inbox gets no answer: the registry's rights are not his."""
    heard = await bus.subscribe(reply)
    before = await EventStream(bus).last_seq()
    partition = partition_of(RoomKey(APP, 1), PARTITIONS)
    for subject in (
        command_subject(DOOR, RoomKey(APP, 1), Verb.REMOVE),
        command_subject(partition, RoomKey(APP, 1), Verb.REMOVE),
        f"stagedoor.v1.cmd.{DOOR}._._.epoch",
        ROOMS.pattern.format(partition=0),
    ):
        await bus.publish(subject, b"{}", reply=reply)
    # The registry has taken all of it when it has answered what came later.
    await bus.request(command_subject(DOOR, RoomKey(APP, 1), Verb.REMOVE), b"{}", timeout=2)
    await bus.request(ROOMS.pattern.format(partition=0), b"{}", timeout=2)
    assert heard.pending_msgs == 0
    assert await EventStream(bus).last_seq() == before
    await caller.join("ann")


async def test_a_command_that_is_sent_again_while_it_waits_is_decided_once(registry, caller, bus):
    """A sender that lost patience does not double the work."""
    command = Join(**caller.common(1), session="a" * 32, user="ann", role=Role.ANCHOR, gateway=EDGE)
    before = await EventStream(bus).last_seq()
    replies = await asyncio.gather(*(caller.client.send(command) for _ in range(50)))
    assert {reply.seq for reply in replies} == {1}
    assert await EventStream(bus).last_seq() - before < 25


async def test_a_malformed_question_is_refused(registry, bus):
    """The query for rooms answers with an error, not with silence."""
    reply = await bus.request(ROOMS.pattern.format(partition=0), b'{"limit": 100000}', timeout=2)
    assert json.loads(reply.data)["code"] == "bad_request"


async def test_a_command_without_a_reply_subject_works(registry, caller, bus):
    """Publishing is enough; the stream says what became of it."""
    await caller.join("ann")
    heard = await bus.subscribe(PUBLISHED_EVENTS.subscription(verb=Verb.DISMISS))
    await bus.publish(command_subject(DOOR, RoomKey(APP, 1), Verb.DISMISS), json.dumps({"id": "d", "app": APP, "room": 1}).encode())
    assert facts_in(await heard.next_msg(timeout=5))[0].kind == "dissolved"


async def test_readiness_says_what_is_missing_and_life_goes_on_without_nats(registry, nats_server, caller):
    """Away: alive and not ready. Back: ready again, with the same rooms."""
    await caller.join("ann")
    base = "http://{}:{}".format(*registry.address)
    async with httpx.AsyncClient() as http:
        assert (await http.get(base + "/readyz")).json() == {"ready": True, "missing": []}
        await nats_server.stop()
        async with asyncio.timeout(10):
            while (await http.get(base + "/readyz")).status_code == 200:
                await asyncio.sleep(0.05)
        assert (await http.get(base + "/livez")).status_code == 200
        await nats_server.start()
    bus = await nats.connect(nats_server.url)
    again = Caller(bus, seconds=20)
    reply = await again.client.send(Join(**again.common(1), session="b" * 32, user="bob", role=Role.ANCHOR, gateway=EDGE))
    assert [peer.user for peer in reply.roster] == ["ann"]
    await bus.close()


async def test_an_existing_stream_keeps_its_number_of_partitions(registry_settings, bus):
    """The number in the settings is for a new stream only."""
    async with running(build(registry_settings)):
        pass
    service = build(registry_settings.model_copy(update={"partitions": 3}))
    async with running(service):
        assert await EventStream(bus).partitions() == PARTITIONS


async def test_a_stream_of_somebody_else_is_not_touched(registry_settings, bus):
    """It ends with a text that says so, rather than guess a number of partitions."""
    await bus.jetstream().add_stream(name=STREAM, subjects=["stagedoor.v1.evt.>"], allow_direct=True)
    with pytest.raises(ServiceFailedError, match=r"not made by Stagedoor"):
        await build(registry_settings).serve()


async def test_a_full_stream_refuses_with_an_answer(registry_settings, caller):
    """New commands are refused as retryable; what is committed stays."""
    async with running(build(registry_settings.model_copy(update={"stream_max_bytes": 25_000}))):
        caller.seconds = 1.0
        with pytest.raises(Exception, match="refuses to store more"):
            for number in range(200):
                await caller.join(f"user{number}")


async def test_a_room_is_on_one_gateway(registry_settings, bus):
    """As the registry comes: a join at another one is refused, and a session that moves is not."""
    async with running(build(registry_settings.model_copy(update={"rooms_span_gateways": False}))):
        caller = Caller(bus)
        ann = await caller.join("ann")
        with pytest.raises(RefusedError, match="room_elsewhere"):
            await caller.join("bob", gateway=OTHER)
        await caller.resume(ann)
        await caller.join("bob", gateway=OTHER)
    assert not RegistrySettings(port=0).rooms_span_gateways

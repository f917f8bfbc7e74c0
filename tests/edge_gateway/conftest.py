"""A gateway on a real nats-server; the registry is played by the test, and media is silent."""

import asyncio
import contextlib
import json
import time

import pytest
from stagedoor_client import SignallingClient

from services.edge_gateway.app import build
from services.edge_gateway.settings import GatewaySettings
from shared.auth.apps import App
from shared.auth.usersig import sign
from shared.bus.stream import EventStream
from shared.clients.receipts import Receipts
from shared.contracts.commands import Verb
from shared.contracts.facts import Announced, Committed, Dissolved, Joined, Left, SessionEnd
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import AnnounceReply, JoinReply, LeaveReply, Peer
from shared.contracts.subjects import COMMANDS, event_subject, parse_subject, partition_of
from tests.support.running import running
from tests.support.silent_media import SilentMedia

APP = 1400000001
SECRET = "the-key-that-signs"
PARTITIONS = 2
ROOM = RoomKey(APP, 1)


def usersig(user, *, app=APP, secret=SECRET, now=None, expire=600):
    return sign(App(app, secret), user, int(time.time() if now is None else now), expire)


class PlayedRegistry:
    """Answers as a registry would, and commits what the test says."""

    def __init__(self, connection):
        self.connection = connection
        self.commands = asyncio.Queue()
        self.silent = set()
        self.members = {}
        self.seq = {}

    async def start(self):
        self._answering = self._answer

        async def answer(message):
            await self._answering(message)

        await self.connection.subscribe(COMMANDS.subscription(), cb=answer)
        await self.connection.flush()

    def answer_with(self, answer):
        self._answering = answer

    async def next(self, verb):
        async with asyncio.timeout(5):
            while True:
                command = await self.commands.get()
                if command["verb"] == verb:
                    return command

    async def _answer(self, message):
        address = parse_subject(message.subject)
        command = json.loads(message.data) | {"verb": address.verb}
        self.commands.put_nowait(command)
        if address.verb in self.silent:
            return
        if address.verb is Verb.ANNOUNCE:
            await self.commit(None, Announced(gateway=command["gateway"]), partition=int(address.partition))
            reply = AnnounceReply(ended=0)
        elif address.verb is Verb.JOIN:
            reply = await self.join(command)
        else:
            await self.leave(command["session"], LeaveReason(command["reason"]))
            reply = LeaveReply()
        await message.respond(reply.to_bytes())

    async def join(self, command, key=ROOM):
        here = self.members.setdefault(key, {})
        fields = {name: command[name] for name in ("session", "user", "role", "gateway")}
        here[command["session"]] = fields
        await self.commit(key, Joined(**self.next_seq(key), **fields))
        roster = [m for m in here.values() if m["role"] == "anchor" and m["session"] != command["session"]]
        return JoinReply(incarnation="1.1", seq=self.seq[key], roster=tuple(Peer(session=m["session"], user=m["user"]) for m in roster))

    async def leave(self, *sessions, reason=None, key=ROOM):
        if isinstance(sessions[-1], LeaveReason):
            *sessions, reason = sessions
        here = self.members.setdefault(key, {})
        ends = tuple(SessionEnd(**here.pop(session)) for session in sessions if session in here)
        if ends:
            await self.commit(key, Left(**self.next_seq(key), reason=reason, sessions=ends))

    async def dismiss(self, key=ROOM):
        self.members.pop(key)
        await self.commit(key, Dissolved(**self.next_seq(key)))

    def next_seq(self, key):
        self.seq[key] = self.seq.get(key, 0) + 1
        return {"incarnation": "1.1", "seq": self.seq[key]}

    async def commit(self, key, *facts, partition=None):
        message = Committed(command="cause", correlation="cause", at=0, app=key and key.app, room=key and key.room, facts=facts)
        partition = partition_of(key, PARTITIONS) if partition is None else partition
        await self.connection.jetstream().publish(event_subject(partition, key, Verb.JOIN), message.to_bytes())


@pytest.fixture
async def registry(bus):
    await EventStream(bus).ensure(PARTITIONS)
    await Receipts(bus).ensure(1)
    played = PlayedRegistry(bus)
    await played.start()
    return played


@pytest.fixture
def gateway_settings(nats_server):
    return GatewaySettings(
        nats_url=nats_server.url,
        port=0,
        gateway_name="edge",
        media_port=0,
        sdk_app_id=APP,
        secret_key=SECRET,
        reconnect_grace=0.2,
        stop_seconds=5,
    )


class Gateway:
    """A running gateway, and ways in."""

    def __init__(self, service, media, url):
        self.service = service
        self.media = media
        self.url = url

    @contextlib.asynccontextmanager
    async def joined(self, user="ann", **fields):
        """A client that is in room 1."""
        async with SignallingClient.open(self.url) as client:
            client.joined = await client.join(**({"app": APP, "user": user, "sig": usersig(user), "room": 1} | fields))
            yield client


@contextlib.asynccontextmanager
async def gateway_running(settings, **options):
    """Run a gateway with silent media."""
    made = []

    async def start_media(_settings, on_offer):
        made.append(SilentMedia(on_offer))
        return made[0]

    service = build(settings, start_media=start_media)
    async with running(service, **options) as url:
        yield Gateway(service, made[0] if made else None, url)


@pytest.fixture
async def gateway(gateway_settings, registry):
    async with gateway_running(gateway_settings) as running_gateway:
        yield running_gateway

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
from shared.clients.leases import GatewayLeases
from shared.clients.receipts import Receipts
from shared.contracts.commands import Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.facts import Attached, Committed, Detached, Dissolved, Joined, Left, RoleSwitched, SessionEnd
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from shared.contracts.replies import DetachReply, JoinReply, LeaveReply, Peer, Refusal, ResumeReply, SwitchRoleReply
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
        """Verbs that are not carried out."""
        self.mute = set()
        """Verbs that are carried out, but not answered."""
        self.members = {}
        self.ended = {}
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
        reply = await self.decide(address.verb, command)
        if reply is not None and address.verb not in self.mute:
            await message.respond(reply.to_bytes())

    async def decide(self, verb, command):
        """Carry a command out; the reply."""
        match verb:
            case Verb.JOIN:
                return await self.join(command)
            case Verb.RESUME:
                return await self.resume(command)
            case Verb.SWITCH_ROLE:
                return await self.switch_role(command)
            case Verb.DETACH:
                await self.detach(command)
                return DetachReply()
            case Verb.LEAVE:
                member = self.members.get(ROOM, {}).get(command["session"])
                if member is not None and member["attachment"] == command["attachment"]:
                    await self.leave(command["session"], LeaveReason(command["reason"]))
                return LeaveReply()

    async def join(self, command, key=ROOM):
        here = self.members.setdefault(key, {})
        fields = {name: command[name] for name in ("session", "user", "role", "gateway")}
        here[command["session"]] = fields | {"attachment": 1, "token": command.get("token"), "former": {}}
        await self.commit(key, Joined(**self.next_seq(key), **fields))
        return JoinReply(incarnation="1.1", seq=self.seq[key], roster=self.roster(key, command["session"]))

    async def resume(self, command, key=ROOM):
        if command["session"] in self.ended:
            reason, member = self.ended[command["session"]]
            return Refusal(
                code=RefusalCode.SESSION_ENDED, message="ended", reason=reason, command="cause", correlation="cause", user=member["user"]
            )
        member = self.members.get(key, {}).get(command["session"])
        if member is None or member["token"] != command["token"]:
            return Refusal(code=RefusalCode.SESSION_UNKNOWN, message="no such session, or another token")
        former = member["former"] | {member["gateway"]: member["attachment"]}
        former.pop(command["gateway"], None)
        member |= {"gateway": command["gateway"], "attachment": member["attachment"] + 1, "former": former}
        fields = {name: member[name] for name in ("session", "user", "role", "gateway", "attachment")}
        await self.commit(key, Attached(**self.next_seq(key), **fields))
        return ResumeReply(
            incarnation="1.1",
            seq=self.seq[key],
            roster=self.roster(key, command["session"]),
            attachment=member["attachment"],
            user=member["user"],
            role=member["role"],
        )

    async def detach(self, command, key=ROOM):
        member = self.members.get(key, {}).get(command["session"])
        if member is not None and member["former"].get(command["gateway"], command["attachment"] + 1) <= command["attachment"]:
            del member["former"][command["gateway"]]
            fields = {name: command[name] for name in ("session", "gateway", "attachment")}
            await self.commit(key, Detached(**self.next_seq(key), **fields))

    async def switch_role(self, command, key=ROOM):
        member = self.members[key][command["session"]]
        if member["attachment"] != command["attachment"]:
            return Refusal(code=RefusalCode.SUPERSEDED, message="attached anew since")
        member["role"] = command["role"]
        fields = {name: member[name] for name in ("session", "user", "role", "gateway")}
        await self.commit(key, RoleSwitched(**self.next_seq(key), **fields))
        return SwitchRoleReply()

    async def leave(self, *sessions, reason=None, key=ROOM):
        if isinstance(sessions[-1], LeaveReason):
            *sessions, reason = sessions
        here = self.members.setdefault(key, {})
        gone = [here.pop(session) for session in sessions if session in here]
        self.ended |= {member["session"]: (reason, member) for member in gone}
        ends = tuple(
            SessionEnd(**{name: member[name] for name in ("session", "user", "role", "gateway")}, former=tuple(member["former"]))
            for member in gone
        )
        if ends:
            await self.commit(key, Left(**self.next_seq(key), reason=reason, sessions=ends))

    async def dismiss(self, key=ROOM):
        self.ended |= {session: (LeaveReason.DISMISSED, member) for session, member in self.members.pop(key).items()}
        await self.commit(key, Dissolved(**self.next_seq(key)))

    def roster(self, key, session):
        others = [each for each in self.members[key].values() if each["role"] == "anchor" and each["session"] != session]
        return tuple(Peer(session=each["session"], user=each["user"]) for each in others)

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
    await GatewayLeases(bus).ensure(1)
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
        drain_seconds=0,
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
    async def resumed(self, former, **fields):
        """A client that goes on with the session of another one."""
        async with SignallingClient.open(self.url) as client:
            client.resumed = await client.resume(**({"app": APP, "room": 1, "session": former.session, "token": former.token} | fields))
            yield client


@contextlib.asynccontextmanager
async def gateway_running(settings, **options):
    """Run a gateway with silent media."""
    made = []

    async def start_media(_settings, on_offer, on_failed, on_said):
        made.append(SilentMedia(on_offer, on_failed, on_said))
        return made[0]

    service = build(settings, start_media=start_media)
    async with running(service, **options) as url:
        yield Gateway(service, made[0] if made else None, url)


@pytest.fixture
async def gateway(gateway_settings, registry):
    async with gateway_running(gateway_settings) as running_gateway:
        yield running_gateway

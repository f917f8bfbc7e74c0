"""A visitor: one browser tab after another, behaving as our SDKs do, and writing down all that it does and hears."""

import asyncio
import contextlib
import itertools
import time
from dataclasses import dataclass, field

from stagedoor_client import ClosedError, RefusedError, SignallingClient
from websockets.exceptions import WebSocketException

from shared.auth.apps import App
from shared.auth.usersig import sign
from shared.contracts.ids import room_token
from tests.faults.installation import APP, SECRET

_OPEN_SECONDS = 5
_REPLY_SECONDS = 15
_CLOSE_SECONDS = 5
_BACKOFF = 0.1, 1.0
_DEEDS = {"leave": 3, "cut": 4, "vanish": 1, "switch": 3}
_UNREACHABLE = (OSError, WebSocketException, TimeoutError, ClosedError)
_sockets = itertools.count(1)


class _OverError(Exception):
    """The session is over for this visitor."""


class _MovingError(Exception):
    """The gateway asks to go on over another socket."""


@dataclass
class Stay:
    """One session, as its browser knows it."""

    session: str
    token: str
    room: int | str
    role: str
    mode: str
    told: bool = False
    leaving: bool = False
    peers: set[str] = field(default_factory=set)

    @property
    def place(self):
        """The room, as subjects name it."""
        return f"{APP}.{room_token(self.room)}"


@dataclass
class Plan:
    """What a visitor may do."""

    user: str
    rooms: list
    pause: float
    """Seconds between two deeds, on the average."""
    deeds: dict = field(default_factory=lambda: dict(_DEEDS))
    """What it does, and how often."""


class Visitor:
    """Comes, stays, goes, and comes again, until it is told to stop.

    Args:
        name: of the client in the journal.
        journal: written to.
        rng: decides.
        gateways: gives the gateways to choose from, by name; asked anew for each connection.
        plan: what it may do.
    """

    def __init__(self, name, journal, rng, gateways, plan):
        self.name = name
        self.rng = rng
        self.stay = None
        self.client = None
        self.calm = False
        """Neither come nor do anything; go on only."""
        self.departing = asyncio.Event()
        """Leave as soon as that can be done."""
        self.gateway = ""
        """The name of the one that it is connected to."""
        self._journal = journal
        self._gateways = gateways
        self.plan = plan
        self._socket = 0
        self._outcome = None

    def write(self, what, **fields):
        """Write to the journal, with whose it is and which session."""
        session = {} if self.stay is None else {"session": self.stay.session}
        self._journal.write(what, **({"client": self.name} | session | fields))

    async def live(self):
        """Come and go until cancelled."""
        while True:
            await asyncio.sleep(self._pause())
            if not self.calm:
                await self.visit()

    async def visit(self):
        """Stay once: from the join to the end, whatever comes between."""
        room = self.rng.choice(self.plan.rooms)
        mode = self.rng.choice(["rtc", "live"])
        role = "anchor" if mode == "rtc" else self.rng.choice(["anchor", "audience"])
        await self.come(room, mode, role)

    async def come(self, room, mode="rtc", role="anchor"):
        """Be in a room until that is over; after a time-out, once more by itself."""
        try:
            if await self._be_in(room, mode, role) == "timed_out":
                await self._be_in(room, mode, role, former=self.stay)
        finally:
            self.stay = None

    def snapshot(self):
        """Write down who is believed to be here, if a gateway is listened to just now."""
        if self.client is not None and self.stay is not None and not self.stay.leaving:
            self.write("peers", room=self.stay.place, peers=sorted(self.stay.peers))

    def stuck(self):
        """Write down that a session could neither be resumed nor left, and nobody said that it had ended."""
        if self.stay is not None and not self.stay.leaving:
            self.write("stuck")

    async def entered(self, reply):
        """Do what is to be done over a socket that has the session now. For visitors with media."""

    async def take(self, message):
        """Take what the gateway says about media. For visitors with media."""

    def cut(self):
        """Lose the socket."""
        if self.client is not None and self.stay is not None:
            self.write("cut")
            self.client.cut()

    async def leave(self):
        """Leave."""
        self.stay.leaving = True
        self.write("leaving")
        with contextlib.suppress(*_UNREACHABLE, RefusedError):
            async with asyncio.timeout(_REPLY_SECONDS):
                await self.client.leave()
            self.write("left")
        raise _OverError

    # One session

    async def _be_in(self, room, mode, role, former=None):
        self.stay, self._outcome = None, None
        with contextlib.suppress(_OverError):
            await self._over_a_socket(lambda: self._join(room, mode, role, former))
            while self.stay is not None:
                await asyncio.sleep(self.rng.uniform(*_BACKOFF))
                await self._over_a_socket(self._resume)
        return self._outcome

    async def _over_a_socket(self, enter):
        """Open a socket, enter over it, and serve it until it is lost; False where it was never entered."""
        entered, former = False, self.client
        try:
            name = self.rng.choice(list(gateways := self._gateways()))
            async with SignallingClient.open(gateways[name], open_timeout=_OPEN_SECONDS, close_timeout=1, ping_interval=None) as client:
                self.client, self.gateway, self._socket = client, name, next(_sockets)
                await enter()
                entered = True
                if former is not None:
                    former.cut()
                await self._attend(client)
        except RefusedError as error:
            self.write("unreachable", reason=error.code)
        except _UNREACHABLE as error:
            self.write("unreachable", reason=str(error) or type(error).__name__)
        finally:
            self.client = None if entered else former
        return entered

    async def _join(self, room, mode, role, former):
        user = self.plan.user
        sig = sign(App(APP, SECRET), user, int(time.time()), 3600)
        self.write("join", room=room, user=user, role=role, gateway=self.gateway, yields=former is not None)
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                reply = await self.client.join(app=APP, user=user, sig=sig, room=room, role=role, mode=mode, yields=former is not None)
        except RefusedError as error:
            self.write("refused", request="join", session="", code=error.code)
            if error.code == "anchor_taken" and not former.told:
                former.told = True
                self.write("told", session=former.session, reason="replaced", by="anchor_taken")
            raise _OverError from error
        self.stay = Stay(reply["session"], reply["token"], room, role, mode, peers=_peers(reply))
        self.write("joined", attachment=reply["attachment"], gateway=self.gateway, socket=self._socket, peers=sorted(self.stay.peers))
        await self.entered(reply)

    async def _resume(self):
        stay, since = self.stay, time.time()
        if stay.leaving:
            raise _OverError
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                reply = await self.client.resume(app=APP, room=stay.room, session=stay.session, token=stay.token)
        except RefusedError as error:
            self.write("refused", request="resume", code=error.code, reason=error.reason, since=since, gateway=self.gateway)
            if error.code == "session_ended":
                await self._end(error.reason, error.client_banned)
            if not error.retry:
                raise _OverError from error
            raise
        stay.peers, stay.role = _peers(reply), reply["role"]
        fields = {"attachment": reply["attachment"], "gateway": self.gateway, "socket": self._socket, "since": since}
        self.write("resumed", **fields, peers=sorted(stay.peers))
        await self.entered(reply)

    async def _attend(self, client):
        """Serve a socket until it is lost, or until another one has the session."""
        while True:
            tasks = [asyncio.create_task(self._listen(client)), asyncio.create_task(self._act())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except _MovingError:
                if not await self._over_a_socket(self._resume):
                    continue
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            return

    async def _listen(self, client):
        while (message := await client.messages.get()) is not None:
            kind = message["type"]
            if kind == "ended":
                self.write("ended", reason=message["reason"], socket=self._socket)
                await self._end(message["reason"], message.get("client_banned"))
            if kind == "move":
                raise _MovingError
            if kind in ("peer_joined", "peer_left"):
                (self.stay.peers.add if kind == "peer_joined" else self.stay.peers.discard)(message["session"])
                self.write("heard", kind=kind, peer=message["session"])
            await self.take(message)
        self.write("lost", code=await client.closed())

    async def _end(self, reason, client_banned):
        """Tell the application, once, acknowledge, and be done."""
        self._outcome = reason
        if client_banned is not None and not self.stay.told:
            self.stay.told = True
            self.write("told", reason=reason)
        self.write("acking")
        with contextlib.suppress(ClosedError, TimeoutError):
            await self.client.acknowledge()
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.client.closed()
        raise _OverError

    # What it does by itself

    def _pause(self):
        return self.rng.expovariate(1 / self.plan.pause)

    async def _act(self):
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self.departing.wait()
            if self.departing.is_set():
                await self.leave()
            elif not self.calm:
                await self._do(self.rng.choices(list(self.plan.deeds), list(self.plan.deeds.values()))[0])

    async def _do(self, deed):
        if deed == "leave":
            await self.leave()
        elif deed == "cut":
            self.cut()
        elif deed == "vanish":
            self.write("gone")
            self.client.cut()
            raise _OverError
        elif self.stay.mode == "live":
            await self._switch("audience" if self.stay.role == "anchor" else "anchor")

    async def _switch(self, role):
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                await self.client.switch_role(role)
        except RefusedError as error:
            self.write("refused", request="switch_role", code=error.code)
        except (ClosedError, TimeoutError):
            pass
        else:
            self.stay.role = role
            self.write("switched", role=role)


def _peers(reply):
    return {peer["session"] for peer in reply["peers"]}

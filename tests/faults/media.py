"""Visitors with media, in a process of their own: real RTP, whose payload says who sent it, counted as the kernel received it.

Started by the load as ``python -m tests.faults.media DIRECTORY SEED [STEADY]``, with the addresses of the gateways as the first line of its
input, and then its orders: ``calm``, ``snapshot``, ``depart``. With the word STEADY they come once, and do nothing by themselves.
"""

import asyncio
import contextlib
import fractions
import json
import random
import socket
import struct
import sys
import time
from pathlib import Path

import aioice.ice
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidStateError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtp import RtpPacket
from av import Packet
from stagedoor_client import ClosedError, RefusedError

from tests.faults.journal import Journal
from tests.faults.visitor import Plan, Visitor

ROOMS = ["media-1", "media-2"]
USERS = [f"media-{number}" for number in range(6)]
DEEDS = {"leave": 1, "cut": 4, "vanish": 1}
_PAUSE = 6.0
_MARK = b"stagedoor"
_PACKET_SECONDS = 0.04
_REPORT_SECONDS = 0.1
_AGAIN_SECONDS = 0.5
_LINGER_SECONDS = 6.0
"""How long the peer connections of a session that is over, or lives elsewhere, send and listen on."""
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("qq")


class _Datagram(bytes):
    """Bytes that know when the kernel received them: Unix time in seconds."""

    at: float


class _StampingSocket:
    """A UDP socket whose datagrams are stamped by the kernel: no busy process makes them look late."""

    def __init__(self, sock):
        self._socket = sock
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def __getattr__(self, name):
        return getattr(self._socket, name)

    def recvfrom(self, size):
        """Receive, as recvfrom does."""
        data, ancillary, _, address = self._socket.recvmsg(size, socket.CMSG_SPACE(_TIMESPEC.size))
        stamped = _Datagram(data)
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2]) if ancillary else (time.time(), 0)
        stamped.at = seconds + nanoseconds / 1e9
        return stamped, address


class _StampingLoop(asyncio.SelectorEventLoop):
    async def create_datagram_endpoint(self, *arguments, **options):
        transport, protocol = await super().create_datagram_endpoint(*arguments, **options)
        transport._sock = _StampingSocket(transport._sock)
        return transport, protocol


def _listen_to_the_wire():
    """Have every RTP packet go to the leg that its peer connection belongs to, and no decoder."""
    receive = aioice.ice.Connection.recv

    async def recv(connection):
        data = await receive(connection)
        connection.arrived = getattr(data, "at", None) or time.time()
        return data

    async def handle(dtls, data, arrival_time_ms):
        if (leg := _Leg.of_transport.get(dtls)) is not None:
            leg.received(RtpPacket.parse(data).payload, dtls.transport._connection.arrived)

    aioice.ice.Connection.recv = recv
    RTCDtlsTransport._handle_rtp_data = handle
    # The library leaves loopback out, where gateways are unless each has a network of its own.
    addresses = aioice.ice.get_host_addresses
    aioice.ice.get_host_addresses = lambda *asked, **named: ["127.0.0.1", *addresses(*asked, **named)]


class _Voice(MediaStreamTrack):
    """Packets that name their session, a few a second: forwarded as they are, never transcoded."""

    kind = "audio"

    def __init__(self, session):
        super().__init__()
        self._payload = _MARK + session.encode()
        self._count = 0

    async def recv(self):
        await asyncio.sleep(_PACKET_SECONDS)
        if self.readyState != "live":
            raise MediaStreamError
        packet = Packet(self._payload)
        packet.pts, packet.time_base = self._count * 960, fractions.Fraction(1, 48000)
        self._count += 1
        return packet


class _Leg:
    """The media of one session on one gateway: both peer connections, and what came in over them."""

    of_transport = {}  # noqa: RUF012 -- of all legs: the library knows transports only

    def __init__(self, gateway, session, write):
        self.gateway = gateway
        self.session = session
        self.wanted = set()
        self._write = write
        self._counts = {}
        self._voice = _Voice(session)
        self._publishing = _connection()
        self._subscribing = _connection()
        self._publishing.addTransceiver(self._voice, direction="sendonly")

    async def renew(self, connection):
        """Have another peer connection, for the gateway has lost the one that there was."""
        if connection == "publish":
            former, self._publishing = self._publishing, _connection()
            self._publishing.addTransceiver(self._voice, direction="sendonly")
        else:
            former, self._subscribing = self._subscribing, _connection()
            self.wanted.clear()
        await self._drop(former)

    async def offer(self):
        """Make the offer to publish with."""
        await self._publishing.setLocalDescription(await self._publishing.createOffer())
        return self._publishing.localDescription.sdp

    async def published(self, sdp):
        """Take the gateway's answer."""
        await self._publishing.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def answer(self, sdp):
        """Answer the gateway's offer."""
        await self._subscribing.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await self._subscribing.setLocalDescription(await self._subscribing.createAnswer())
        for transceiver in self._subscribing.getTransceivers():
            self.of_transport[transceiver.receiver.transport] = self
        return self._subscribing.localDescription.sdp

    def received(self, payload, at):
        """Count a packet."""
        if not payload.startswith(_MARK):
            return
        source = payload[len(_MARK) :].decode()
        first, last, count = self._counts.get(source, (at, at, 0))
        self._counts[source] = first, max(last, at), count + 1
        if at - first >= _REPORT_SECONDS:
            self.report()

    def report(self):
        """Write down what was counted."""
        for source, (first, last, count) in self._counts.items():
            fields = {"session": self.session, "source": source, "gateway": self.gateway}
            self._write("packets", **fields, first=first, last=last, count=count)
        self._counts.clear()

    async def close(self, linger=_LINGER_SECONDS):
        """Send and listen for a while yet, as one who was made to leave may, then end."""
        await asyncio.sleep(linger)
        self.report()
        self._voice.stop()
        for connection in (self._publishing, self._subscribing):
            await self._drop(connection)

    async def _drop(self, connection):
        for transceiver in connection.getTransceivers():
            self.of_transport.pop(transceiver.receiver.transport, None)
        await connection.close()


def _connection():
    return RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))


class MediaVisitor(Visitor):
    """A visitor who publishes, and subscribes to everybody."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._leg = None
        self._streams = set()
        self._background = set()

    async def visit(self):
        """Stay once, as anchor."""
        await self.come(self.rng.choice(self.plan.rooms))

    async def come(self, room, mode="rtc", role="anchor"):
        """Be in a room; whatever happens, the media goes on for a while."""
        try:
            await super().come(room, mode, role)
        finally:
            self._let_go()

    async def entered(self, reply):
        """Publish and subscribe anew, where the gateway has no media of the session; otherwise, to what is new."""
        if not reply.get("media"):
            self._let_go()
            self._leg = _Leg(self.gateway, self.stay.session, self.write)
        if reply.get("published") is None:
            await self._publish()
        self._streams = {stream["stream"] for stream in reply["streams"]}
        for stream in self._streams:
            await self._subscribe(stream)

    async def take(self, message):
        """Follow what others publish."""
        if message["type"] == "stream_added":
            self._streams.add(message["stream"])
            await self._subscribe(message["stream"])
        elif message["type"] == "stream_removed":
            self._streams.discard(message["stream"])
        elif message["type"] == "media_lost":
            self.write("media_lost", connection=message["connection"])
            await self._leg.renew(message["connection"])
            await self._begin_again(message["connection"])
        elif message["type"] == "offer":
            await self._answer(message)

    async def _begin_again(self, connection):
        if connection == "publish":
            await self._publish()
            return
        for stream in self._streams.copy():
            await self._subscribe(stream)

    async def _publish(self):
        try:
            reply = await self.client.request("publish", kind="main", sdp=await self._leg.offer())
            await self._leg.published(reply["sdp"])
        except (RefusedError, InvalidStateError) as error:
            self.write("unpublished", reason=str(error))
            self._later("publish", error)

    async def _answer(self, offer):
        try:
            sdp = await self._leg.answer(offer["sdp"])
        except InvalidStateError as error:
            # The connection has failed: there is nothing to answer with.
            self.write("unanswered", reason=str(error))
        else:
            await self.client.send({"type": "answer", "number": offer["number"], "sdp": sdp})

    async def _subscribe(self, stream):
        if stream in self._leg.wanted:
            return
        try:
            await self.client.request("subscribe", stream=stream, audio=True, video=False)
            self._leg.wanted.add(stream)
        except RefusedError as error:
            self.write("unsubscribed", reason=str(error))
            self._later("subscribe", error)

    def _later(self, connection, error):
        """Ask again where the gateway has no media for the moment."""
        if isinstance(error, RefusedError) and error.retry:
            self._in_background(self._after_a_moment(self._leg, connection))

    async def _after_a_moment(self, leg, connection):
        await asyncio.sleep(_AGAIN_SECONDS)
        if leg is self._leg and self.client is not None:
            with contextlib.suppress(ClosedError):
                await self._begin_again(connection)

    def _let_go(self):
        leg, self._leg = self._leg, None
        if leg is not None:
            self._in_background(leg.close())

    def _in_background(self, work):
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def serve(directory, seed, *, steady):
    """Run the visitors until the input ends."""
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    gateways = json.loads(await orders.readline())
    journal = Journal(directory / "log-media.jsonl")
    visitors = [_visitor(user, number, seed, journal, gateways) for number, user in enumerate(USERS)]
    for visitor in visitors:
        visitor.calm = steady
    visits = [asyncio.create_task(visitor.visit() if steady else visitor.live()) for visitor in visitors]
    while order := (await orders.readline()).decode().strip():
        for visitor in visitors:
            if order == "calm":
                visitor.calm = True
            elif order == "snapshot":
                visitor.snapshot()
            elif order == "depart":
                visitor.departing.set()
    for visitor in visitors:
        visitor.stuck()
    for task in visits:
        task.cancel()
    outcomes = await asyncio.gather(*visits, return_exceptions=True)
    journal.close()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _visitor(user, number, seed, journal, gateways):
    rng = random.Random(f"{seed} {user}")  # noqa: S311 -- a load, no secret
    plan = Plan(user, [ROOMS[number % len(ROOMS)]], pause=_PAUSE, deeds=DEEDS)
    return MediaVisitor(f"m{number}", journal, rng, lambda: gateways, plan)


def main():
    """Run as a process."""
    _listen_to_the_wire()
    with asyncio.Runner(loop_factory=_StampingLoop) as runner:
        runner.run(serve(Path(sys.argv[1]), sys.argv[2], steady="STEADY" in sys.argv[3:]))


if __name__ == "__main__":
    main()

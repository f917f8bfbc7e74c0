"""An engine on the loopback interface, and real peers for it: aiortc is the client."""

import asyncio
import contextlib
import fractions
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import aioice.ice
import pytest
import uvloop
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack, VideoStreamTrack
from av import VideoFrame

from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.ice import Address
from services.edge_gateway.media.interface import Offer, TransportFailed
from services.edge_gateway.media.remote import RemoteEngine
from services.edge_gateway.media.settings import MediaSettings
from services.edge_gateway.media.sockets import bind
from tests.support.media import ENGINES, give_client, give_mux  # noqa: F401 - fixtures

PATIENCE = 10.0
"""Seconds until a test that waits for an event gives up."""


BOTH_LOOPS = {"test_tcp.py", "test_coturn.py"}
"""Services run on uvloop, whose transports and socket calls are its own."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what hangs on the loop's own ways on both."""
    asyncios = {"asyncio": asyncio.new_event_loop}
    return asyncios | {"uvloop": uvloop.new_event_loop} if item.path.name in BOTH_LOOPS else asyncios


class Picture(VideoStreamTrack):
    """A small grey picture, 20 times a second, whose brightness says who sends it."""

    def __init__(self, brightness: int) -> None:
        super().__init__()
        self._brightness = brightness
        self._count = 0

    async def recv(self) -> VideoFrame:
        """Return the next frame."""
        await asyncio.sleep(0.05)
        frame = VideoFrame(160, 120, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([self._brightness]) * plane.buffer_size)
        frame.pts, frame.time_base = self._count * 4500, fractions.Fraction(1, 90000)
        self._count += 1
        return frame


class Room:
    """An engine, its clients, and the offers that wait for an answer."""

    def __init__(self) -> None:
        self.engine: UdpMediaEngine | RemoteEngine
        self.offers: dict[str, asyncio.Queue[Offer]] = {}
        self.failures: list[TransportFailed] = []
        self.over: Callable[[str], str] = lambda sdp: sdp
        """Makes of the gateway's SDP what the clients are given: another way there."""
        self.ice_servers: list[RTCIceServer] = []
        self._connections: list[RTCPeerConnection] = []

    def on_offer(self, offer: Offer) -> None:
        """Put an offer where its session's client finds it."""
        self.offers.setdefault(offer.session, asyncio.Queue()).put_nowait(offer)

    async def next_offer(self, session: str) -> Offer:
        """Wait for an offer."""
        return await asyncio.wait_for(self.offers.setdefault(session, asyncio.Queue()).get(), PATIENCE)

    def picture(self, brightness: int) -> MediaStreamTrack:
        """Make a track to publish."""
        return Picture(brightness)

    def connection(self) -> RTCPeerConnection:
        """Make a client's peer connection."""
        connection = RTCPeerConnection(RTCConfiguration(iceServers=self.ice_servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._connections.append(connection)
        return connection

    async def publish(self, session: str, *tracks: MediaStreamTrack) -> tuple[RTCPeerConnection, dict[str, str]]:
        """Publish tracks; return the connection, and the track ids by kind."""
        connection = self.connection()
        for track in tracks:
            connection.addTransceiver(track, direction="sendonly")
        await connection.setLocalDescription(await connection.createOffer())
        published = await self.engine.publish(session, connection.localDescription.sdp)
        await connection.setRemoteDescription(RTCSessionDescription(self.over(published.sdp), "answer"))
        await self.connected(connection)
        return connection, {track.kind: track.id for track in published.tracks}

    async def answer(self, offer: Offer, connection: RTCPeerConnection) -> dict[str, MediaStreamTrack]:
        """Answer an offer; return the client's tracks by the ids of those they carry."""
        await connection.setRemoteDescription(RTCSessionDescription(self.over(offer.sdp), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        await self.engine.answer(offer.session, offer.number, connection.localDescription.sdp)
        await self.connected(connection)
        by_mid = {transceiver.mid: transceiver.receiver.track for transceiver in connection.getTransceivers()}
        return {track: by_mid[mid] for mid, track in offer.mids.items()}

    async def subscribe(self, session: str, *tracks: str) -> tuple[RTCPeerConnection, dict[str, MediaStreamTrack]]:
        """Subscribe for the first time; return the connection, and the client's tracks by their ids."""
        await self.engine.subscribe(session, frozenset(tracks))
        connection = self.connection()
        return connection, await self.answer(await self.next_offer(session), connection)

    async def close(self) -> None:
        """End everything."""
        await asyncio.gather(*(connection.close() for connection in self._connections))
        await self.engine.close()

    @staticmethod
    def brightness(frame: VideoFrame) -> int:
        """Return the brightness of a picture's middle."""
        luma = frame.planes[0]
        return bytes(luma)[60 * luma.line_size + 80]

    @staticmethod
    async def connected(connection: RTCPeerConnection) -> None:
        """Wait until a peer connection is connected."""
        await Room.until(connection, "connectionstatechange", lambda: connection.connectionState == "connected")

    @staticmethod
    async def until(emitter: RTCPeerConnection, event: str, condition: Callable[[], bool]) -> None:
        """Wait for an event after which a condition holds."""
        happened = asyncio.Event()
        emitter.on(event, happened.set)
        async with asyncio.timeout(PATIENCE):
            while not condition():
                happened.clear()
                await happened.wait()
        emitter.remove_listener(event, happened.set)

    @staticmethod
    async def frame_of(track: MediaStreamTrack, wanted: Callable[[VideoFrame], bool] = lambda _: True) -> VideoFrame:
        """Wait for a decoded frame that is wanted."""
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await track.recv()
                if wanted(frame):
                    return frame


class Wire(list[tuple[int, bytes]]):
    """A relay that clients talk to instead of the engine. It is the list of what the engine sent: to which port, and what."""

    lost: Callable[[bytes], bool] = staticmethod(lambda _: False)
    """What does not arrive at a client."""
    lost_before: Callable[[bytes], bool] = staticmethod(lambda _: False)
    """What does not arrive at the engine."""

    host = "127.0.0.2"
    """Where clients find it, at the engine's port."""

    def __init__(self) -> None:
        super().__init__()
        self._front: socket.socket
        self._backs: dict[Address, socket.socket] = {}

    def start(self, port: int) -> None:
        """Take the engine's place."""
        self._front = bind([self.host], port, tcp=False).udp[0]
        asyncio.get_running_loop().add_reader(self._front.fileno(), self._pass_on)

    def seen_from(self, client: Address) -> Address:
        """Return where the engine sees a client."""
        return self._back(client).getsockname()

    def _back(self, client: Address) -> socket.socket:
        if client not in self._backs:
            back = self._backs[client] = bind(["127.0.0.1"], 0, tcp=False).udp[0]
            back.connect(("127.0.0.1", self._front.getsockname()[1]))
            asyncio.get_running_loop().add_reader(back.fileno(), self.collect)
        return self._backs[client]

    def _pass_on(self) -> None:
        for data, client in received(self._front):
            if not self.lost_before(data):
                self._back(client).send(data)

    def collect(self) -> None:
        """Take in what the engine has sent so far: on the loopback interface, that has arrived."""
        for client, back in self._backs.items():
            for data, _ in received(back):
                self.append((client[1], data))
                if not self.lost(data):
                    self._front.sendto(data, client)

    async def until(self, condition: Callable[[int, bytes], bool]) -> None:
        """Wait for a datagram."""
        async with asyncio.timeout(PATIENCE):
            while not any(condition(port, data) for port, data in self):
                await asyncio.sleep(0.02)

    def close(self) -> None:
        """Free the sockets."""
        for sock in (self._front, *self._backs.values()):
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()


def received(sock: socket.socket) -> Iterator[tuple[bytes, Address]]:
    """Give what waits in a socket."""
    with contextlib.suppress(BlockingIOError):
        while True:
            yield sock.recvfrom(4096)


@pytest.fixture
def wire() -> Wire:
    """Give a relay, and with it the list of what is sent."""
    return Wire()


WHERE = {"here": UdpMediaEngine, "worker": RemoteEngine}
"""Where an engine may run: in the test's process, or in one of its own."""


@pytest.fixture(params=ENGINES)
def forwarder(request: pytest.FixtureRequest) -> str:
    """Give the name of each engine."""
    return request.param


@pytest.fixture
async def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, forwarder: str) -> AsyncIterator[Room]:
    """Give an engine, in the test's process or where the parameter says, and clients, which talk to the relay if the test has one."""
    # aioice leaves the loopback address out; everything here runs on it.
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda *_, **__: ["127.0.0.1"])
    wire: Wire | None = request.getfixturevalue("wire") if "wire" in request.fixturenames else None
    settings = MediaSettings(host="127.0.0.1", port=0, advertise=() if wire is None else (wire.host,), engine=forwarder)
    room = Room()
    start = WHERE[getattr(request, "param", "here")].start
    room.engine = await start(settings, room.on_offer, on_failed=room.failures.append)
    room.engine.allow_until(None)
    if wire is not None:
        wire.start(room.engine.port)
    yield room
    await room.close()
    if wire is not None:
        wire.close()
    gc.collect()

"""An engine on the loopback interface, and real peers for it: aiortc is the client."""

import asyncio
import fractions
import gc
from collections.abc import AsyncIterator, Callable

import aioice.ice
import pytest
import uvloop
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack, VideoStreamTrack
from av import VideoFrame

from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.ice import Address
from services.edge_gateway.media.interface import Offer, TransportFailed
from services.edge_gateway.media.mux import UdpMux
from services.edge_gateway.media.remote import RemoteEngine
from services.edge_gateway.media.settings import MediaSettings

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


WHERE = {"here": UdpMediaEngine, "worker": RemoteEngine}
"""Where an engine may run: in the test's process, or in one of its own."""


@pytest.fixture
async def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    """Give an engine, in the test's process or where the parameter says, and clients for it."""
    # aioice leaves the loopback address out; everything here runs on it.
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda *_, **__: ["127.0.0.1"])
    room = Room()
    start = WHERE[getattr(request, "param", "here")].start
    room.engine = await start(MediaSettings(host="127.0.0.1", port=0), room.on_offer, on_failed=room.failures.append)
    room.engine.allow_until(None)
    yield room
    await room.close()
    gc.collect()


class Wire(list[tuple[int, bytes]]):
    """Every datagram that the engine sends: to which port, and what."""

    lost: Callable[[bytes], bool] = staticmethod(lambda _: False)
    """What does not arrive."""

    async def until(self, condition: Callable[[int, bytes], bool]) -> None:
        """Wait for a datagram."""
        async with asyncio.timeout(PATIENCE):
            while not any(condition(port, data) for port, data in self):
                await asyncio.sleep(0.02)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Give the list of what is sent."""
    wire, send = Wire(), UdpMux.send

    def record(mux: UdpMux, data: bytes | memoryview, address: Address) -> None:
        wire.append((address[1], bytes(data)))
        if not wire.lost(bytes(data)):
            send(mux, data, address)

    monkeypatch.setattr(UdpMux, "send", record)
    return wire

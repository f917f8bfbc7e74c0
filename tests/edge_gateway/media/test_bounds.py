"""So much and no more: of tracks, subscriptions, connections and packets; and all of it is counted, by both engines."""

import asyncio
import os
import signal
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiortc.mediastreams import AudioStreamTrack
from structlog.testing import capture_logs

from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.dtls import SharedCertificate
from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.forwarding import Allowance
from services.edge_gateway.media.interface import MediaRefusedError
from services.edge_gateway.media.measures import Measures
from services.edge_gateway.media.peer import Peer
from services.edge_gateway.media.publication import Publication
from services.edge_gateway.media.sdp import read_offer
from services.edge_gateway.media.sdp_writer import LocalTransport
from services.edge_gateway.media.settings import MediaSettings
from services.edge_gateway.media.subscription import Subscription
from tests.edge_gateway.media.conftest import PATIENCE
from tests.edge_gateway.media.test_engines import drain
from tests.edge_gateway.media.test_worker import until
from tests.support.media import MediaClient, engine

CAPTURED = Path(__file__).parents[2] / "unit" / "media" / "sdp" / "chromium-offer.sdp"
OFFER = "\r\n".join(CAPTURED.read_text().splitlines()) + "\r\n"
"""Of two tracks."""


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell it."""
        return self.now


@pytest.fixture
async def bounded(forwarder: str) -> AsyncIterator[Callable]:
    """Give a function that starts an engine with bounds."""
    engines = []

    async def start(**bounds) -> UdpMediaEngine:
        settings = MediaSettings(host="127.0.0.1", port=0, engine=forwarder, **bounds)
        engines.append(await UdpMediaEngine.start(settings, lambda _: None))
        return engines[-1]

    yield start
    for one in engines:
        await one.close()


async def refused(call) -> tuple[str, str | None]:
    """Say how a call is refused."""
    with pytest.raises(MediaRefusedError) as error:
        await call
    return error.value.code, error.value.limit


async def test_a_worker_takes_so_many_connections(bounded):
    """Publishing and receiving ones together; who leaves makes room, and a refusal leaves nothing behind."""
    one = await bounded(max_worker_connections=2)
    tracks = frozenset(track.id for track in (await one.publish("ann", OFFER)).tracks)
    await one.subscribe("bob", tracks)
    assert await refused(one.publish("cyd", OFFER)) == ("media_limit", "worker_connections")
    assert await refused(one.subscribe("cyd", tracks)) == ("media_limit", "worker_connections")
    assert one.measures().connections == {"publish": 1, "subscribe": 1}
    await one.stop("bob")
    await one.subscribe("cyd", tracks)


async def test_a_worker_takes_so_many_tracks(bounded):
    """And again as many when some have ended."""
    one = await bounded(max_worker_tracks=3)
    await one.publish("ann", OFFER)
    assert await refused(one.publish("bob", OFFER)) == ("media_limit", "worker_tracks")
    await one.unpublish("ann")
    await one.publish("bob", OFFER)


async def test_a_worker_sends_so_many_tracks(bounded):
    """Whoever's they are. What one has already is not counted again, and less is always allowed."""
    one = await bounded(max_worker_subscriptions=3)
    sound, picture = (track.id for track in (await one.publish("ann", OFFER)).tracks)
    await one.subscribe("bob", frozenset({sound, picture}))
    assert await refused(one.subscribe("cyd", frozenset({sound, picture}))) == ("media_limit", "worker_subscriptions")
    await one.subscribe("cyd", frozenset({sound}))
    await one.subscribe("bob", frozenset({sound, picture}))
    await one.subscribe("bob", frozenset({picture}))
    await one.subscribe("cyd", frozenset({sound, picture}))
    assert one.measures().subscriptions == 3
    await one.unpublish("ann")
    await until(lambda: one.measures().subscriptions == 0)


async def test_a_session_receives_so_many_tracks(bounded):
    """The refusal changes nothing."""
    one = await bounded(max_subscriptions=1)
    sound, picture = (track.id for track in (await one.publish("ann", OFFER)).tracks)
    await one.subscribe("bob", frozenset({sound}))
    assert await refused(one.subscribe("bob", frozenset({sound, picture}))) == ("media_limit", "session_subscriptions")
    assert one.measures().subscriptions == 1


class Call:
    """One who publishes, at an engine that allows so much, and one who receives the sound.

    Args:
        mux: the engine.
    """

    def __init__(self, mux) -> None:
        self.mux, self.publisher, self.subscriber = mux, MediaClient(mux), MediaClient(mux)
        certificate = SharedCertificate.generateCertificate()

        def connect(session, user) -> Peer:
            return Peer(session, user, mux, certificate, 5.0, failed=lambda _: None)

        def describe(peer) -> LocalTransport:
            return LocalTransport(peer.credentials, certificate.sha256, ("192.0.2.1",), 40000)

        read = read_offer(OFFER, list(CODECS.values()))
        self.publication = Publication("ann", read, connect, describe, 1_000_000, measures=Measures())
        self.publisher.connect(self.publication.peer)
        self.sound = self.publication.tracks[0]
        self.sound.add(Subscription(self.sound, self.subscriber.link, self.subscriber.out, 50, None), 0.0)
        self.sequence = count(10)

    def send(self, packets: int, size: int) -> int:
        """Send so many in order, and have the engine take them. Returns how many arrived."""
        before, offered = len(self.subscriber.rtp), self.sound.offered
        for sequence in (next(self.sequence) for _ in range(packets)):
            self.publisher.send(struct.pack("!BBHII", 0x80, offered.payload_type, sequence, 0, offered.ssrc) + bytes(size))
        for _ in range(1 + packets // 64):
            drain(self.mux)
        return len(self.subscriber.rtp) - before

    def close(self) -> None:
        """Free the sockets."""
        self.publisher.close()
        self.subscriber.close()


@pytest.mark.parametrize("size", [10, 100])
def test_what_comes_too_fast_is_dropped(forwarder, size):
    """A second's worth at once, and then as time allows, by packets and by bytes; what is dropped is counted, and for its client."""
    clock = Clock()
    bits_a_packet = 8 * (12 + 100 + 16)
    with engine(forwarder, clock, Allowance.of(20 if size == 10 else 1_000_000, 20 * bits_a_packet)) as mux, closing(Call(mux)) as call:
        assert call.send(60, size) == 21
        assert mux.losses.too_fast == call.publisher.link.too_fast == 39
        clock.now += 0.55
        assert call.send(30, size) in {10, 11}
        assert call.subscriber.link.too_fast == 0
        clock.now += 60
        assert call.send(5, size) == 5


def test_what_is_dropped_is_not_decrypted(forwarder):
    """That would be most of what it costs. SRTP takes a packet once: what was not looked at can come again."""
    clock = Clock()
    with engine(forwarder, clock, Allowance.of(20, 1_000_000_000)) as mux, closing(Call(mux)) as call:
        sealed = []
        call.publisher.socket, wire = SimpleNamespace(send=sealed.append), call.publisher.socket
        call.send(60, 10)
        call.publisher.socket = wire
        for data in sealed:
            wire.send(data)
        drain(mux)
        assert len(call.subscriber.rtp) == 21
        clock.now += 60
        for data in sealed[21:]:
            wire.send(data)
        drain(mux)
        assert len(call.subscriber.rtp) == 42


async def test_who_sends_too_fast_is_named_once(bounded):
    """In the log, by its session; the count is in the metrics."""
    one = await bounded(max_packet_rate=1)
    await one.publish("ann", OFFER)
    peer = one._publications["ann"].peer
    with capture_logs() as logs:
        for _ in range(3):
            while peer.link.admit(100, 0.0):
                pass
            peer.look_at_rate()
    assert [(entry["event"], entry["session"]) for entry in logs] == [("media_too_fast", "ann")]
    assert one.measures().dropped["too_fast"] == 3


async def test_what_was_carried_is_counted_and_logged_at_the_end(room, wire):
    """Of everybody and of each session, in both directions; and how far away who receives is."""
    publishing, tracks = await room.publish("ann", AudioStreamTrack(), room.picture(200))
    _, received = await room.subscribe("bob", *tracks.values())
    await room.frame_of(received[tracks["video"]])
    await until(lambda: sum(room.engine.measures().round_trip.counts))
    sent_by_ann = (await publishing.getStats()).values()
    with capture_logs() as logs:
        await room.engine.stop("bob")
        await room.engine.stop("ann")
    totals = {entry["session"]: entry for entry in logs if entry["event"] == "session_media_ended"}
    measures = room.engine.measures()
    assert set(totals) == {"ann", "bob"}
    for session, flows in (("ann", measures.received), ("bob", measures.sent)):
        assert all(flows[kind].packets > 0 and flows[kind].octets > flows[kind].packets for kind in ("audio", "video"))
        assert totals[session]["packets"] == sum(flow.packets for flow in flows.values())
        assert totals[session]["octets"] == sum(flow.octets for flow in flows.values())
    assert totals["ann"]["packets"] >= sum(one.packetsSent for one in sent_by_ann if one.type == "outbound-rtp") * 0.5
    assert measures.received["video"].key_frame_requests > 0
    assert sum(measures.forwarding.counts) >= measures.sent["video"].packets
    assert (measures.connections, measures.subscriptions) == ({"publish": 0, "subscribe": 0}, 0)


async def test_losses_and_repairs_are_counted(room, wire):
    """On both lines: what was asked for again, and what was sent again."""
    _, tracks = await room.publish("ann", room.picture(200))
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    turns, back = count(), count()
    wire.lost = lambda data: 128 <= data[0] < 192 and not 192 <= data[1] < 224 and next(turns) % 6 == 0
    wire.lost_before = lambda data: 128 <= data[0] < 192 and not 192 <= data[1] < 224 and next(back) % 6 == 0

    def counted() -> tuple[int, ...]:
        for user in (room.engine._publications["ann"], room.engine._subscribers["bob"]):
            user.count()
        measures = room.engine.measures()
        flows = (measures.received["video"], measures.sent["video"])
        return tuple(number for flow in flows for number in (flow.nacks, flow.repairs))

    async with asyncio.timeout(PATIENCE):
        while not all(counted()):
            await room.frame_of(received[tracks["video"]])


@pytest.mark.parametrize("room", ["worker"], indirect=True)
async def test_a_worker_tells_what_it_measures_and_it_never_falls(room):
    """Each second; when it dies, what it counted stays counted, and what it had is gone."""
    _, tracks = await room.publish("ann", room.picture(200))
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    await until(lambda: sum(room.engine.measures().forwarding.counts))
    before = room.engine.measures()
    assert before.connections == {"publish": 1, "subscribe": 1}
    (name,) = before.workers
    assert name in {"python", "native"}
    os.kill(room.engine.worker_pid, signal.SIGKILL)
    await until(lambda: room.failures)
    after = room.engine.measures()
    assert sum(after.forwarding.counts) >= sum(before.forwarding.counts)
    assert after.cpu_seconds >= before.cpu_seconds > 0
    assert (after.connections, after.subscriptions) == ({}, 0)

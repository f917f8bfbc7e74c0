"""Browsers' media reaches browsers, and nobody else's does."""

import asyncio
import gc
import re
import socket
import time
import weakref
from itertools import count, pairwise

import pytest
from aiortc.mediastreams import AudioStreamTrack

from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.interface import MediaEngine, MediaRefusedError
from services.edge_gateway.media.remote import RemoteEngine
from services.edge_gateway.media.settings import MediaSettings
from shared.contracts.errors import ConfigurationError
from tests.support.ice import address

DARK, BRIGHT = 40, 200
PATIENCE = 10.0
anywhere = pytest.mark.parametrize("room", ["here", "worker"], indirect=True)
"""For the tests that look at an engine from the outside."""
DTLS_ALERT, MEDIA = 21, 128
"""First bytes: of an alert, and the lowest of RTP and RTCP."""


def is_near(wanted: int):
    """Make a condition for a frame: VP8 does not keep brightness to the last bit."""

    def condition(frame) -> bool:
        luma = frame.planes[0]
        return abs(bytes(luma)[60 * luma.line_size + 80] - wanted) < 20

    return condition


@anywhere
async def test_audio_and_video_are_decoded_at_the_subscriber(room):
    """What one client publishes, another can show."""
    _, tracks = await room.publish("ann", AudioStreamTrack(), room.picture(BRIGHT))
    _, received = await room.subscribe("bob", *tracks.values())
    assert is_near(BRIGHT)(await room.frame_of(received[tracks["video"]]))
    assert (await room.frame_of(received[tracks["audio"]])).sample_rate == 48000


@anywhere
async def test_two_subscribers_each_get_a_picture(room):
    """The second one asks for a key frame, and does not wait for the next that comes by itself."""
    _, tracks = await room.publish("ann", room.picture(BRIGHT))
    _, first = await room.subscribe("bob", tracks["video"])
    await room.frame_of(first[tracks["video"]], is_near(BRIGHT))
    _, second = await room.subscribe("cyd", tracks["video"])
    await room.frame_of(second[tracks["video"]], is_near(BRIGHT))
    await room.frame_of(first[tracks["video"]], is_near(BRIGHT))


@anywhere
async def test_a_publisher_who_comes_later_is_added_to_the_same_connection(room):
    """A subscription that grows makes a second offer; what flowed before goes on."""
    _, ann = await room.publish("ann", room.picture(BRIGHT))
    connection, received = await room.subscribe("cyd", ann["video"])
    await room.frame_of(received[ann["video"]], is_near(BRIGHT))
    _, bob = await room.publish("bob", room.picture(DARK))
    await room.engine.subscribe("cyd", frozenset({ann["video"], bob["video"]}))
    offer = await room.next_offer("cyd")
    assert (offer.number, offer.mids) == (2, {"0": ann["video"], "1": bob["video"]})
    received = await room.answer(offer, connection)
    await room.frame_of(received[bob["video"]], is_near(DARK))
    await room.frame_of(received[ann["video"]], is_near(BRIGHT))


@anywhere
async def test_unsubscribing_offers_an_inactive_line(room):
    """The m-line stays, carries nothing, and its mid is not used again."""
    _, tracks = await room.publish("ann", AudioStreamTrack(), room.picture(BRIGHT))
    connection, received = await room.subscribe("bob", *tracks.values())
    await room.frame_of(received[tracks["video"]])
    await room.engine.subscribe("bob", frozenset({tracks["audio"]}))
    offer = await room.next_offer("bob")
    assert offer.mids == {"0": tracks["audio"]}
    assert re.search(r"m=video 9 .*\r\nc=.*\r\na=mid:1\r\na=inactive", offer.sdp)
    received = await room.answer(offer, connection)
    await room.frame_of(received[tracks["audio"]])
    await room.engine.subscribe("bob", frozenset(tracks.values()))
    assert (await room.next_offer("bob")).mids == {"0": tracks["audio"], "2": tracks["video"]}


@anywhere
async def test_changes_while_an_offer_is_open_make_one_more_offer(room):
    """At most one offer is open; what changed meanwhile follows the answer."""
    _, tracks = await room.publish("ann", AudioStreamTrack(), room.picture(BRIGHT))
    await room.engine.subscribe("bob", frozenset({tracks["audio"]}))
    first = await room.next_offer("bob")
    await room.engine.subscribe("bob", frozenset())
    await room.engine.subscribe("bob", frozenset({tracks["video"]}))
    with pytest.raises(MediaRefusedError, match="invalid_state: offer 7 is not open"):
        await room.engine.answer("bob", 7, "")
    assert room.offers["bob"].empty()
    connection = room.connection()
    await room.answer(first, connection)
    second = await room.next_offer("bob")
    assert (second.number, second.mids) == (2, {"1": tracks["video"]})
    received = await room.answer(second, connection)
    await room.frame_of(received[tracks["video"]])
    with pytest.raises(MediaRefusedError, match="invalid_state"):
        await room.engine.answer("bob", 2, "")


async def test_every_change_is_offered(room):
    """What is given up before it was offered makes an offer too: the client may wait for one."""
    _, tracks = await room.publish("ann", AudioStreamTrack())
    await room.engine.subscribe("bob", frozenset(tracks.values()))
    await room.engine.subscribe("bob", frozenset())
    empty = await room.next_offer("bob")
    assert (empty.number, empty.mids) == (1, {})
    connection = room.connection()
    assert await room.answer(empty, connection) == {}
    await room.engine.subscribe("bob", frozenset(tracks.values()))
    offer = await room.next_offer("bob")
    assert offer.mids == {"1": tracks["audio"]}
    received = await room.answer(offer, connection)
    await room.frame_of(received[tracks["audio"]])


@anywhere
async def test_unpublishing_takes_the_tracks_from_subscribers(room):
    """A stream that ends leaves the subscriptions by itself, and may be published anew."""
    _, tracks = await room.publish("ann", AudioStreamTrack(), room.picture(BRIGHT))
    connection, _ = await room.subscribe("bob", *tracks.values())
    with pytest.raises(MediaRefusedError, match="invalid_state"):
        await room.engine.publish("ann", "")
    await room.engine.unpublish("ann")
    await room.engine.unpublish("ann")
    offer = await room.next_offer("bob")
    assert offer.mids == {}
    await room.answer(offer, connection)
    _, again = await room.publish("ann", room.picture(DARK))
    await room.engine.subscribe("bob", frozenset({again["video"], tracks["video"], "f" * 32}))
    received = await room.answer(await room.next_offer("bob"), connection)
    await room.frame_of(received[again["video"]], is_near(DARK))


async def test_a_stopped_session_is_silent_in_both_directions(room, wire):
    """From stop() on its socket sees one more datagram on each connection, DTLS's goodbye, and nobody sees its media.

    The goodbyes get lost here, so its client goes on sending, and its media would go on being forwarded.
    """
    ann_publishing, ann = await room.publish("ann", AudioStreamTrack(), room.picture(BRIGHT))
    bob_publishing, bob = await room.publish("bob", AudioStreamTrack(), room.picture(DARK))
    bob_subscribing, at_bob = await room.subscribe("bob", *ann.values())
    ann_subscribing, at_ann = await room.subscribe("ann", *bob.values())
    await room.frame_of(at_bob[ann["video"]], is_near(BRIGHT))
    await room.frame_of(at_ann[bob["video"]], is_near(DARK))
    ports = {address(connection)[1] for connection in (ann_publishing, ann_subscribing)}
    wire.lost = lambda data: data[0] == DTLS_ALERT
    before = await sent_packets(ann_publishing)

    wire.collect()
    wire.clear()
    stopped = (await room.engine.stop("ann")).at
    wire.collect()
    assert sorted((port, data[0]) for port, data in wire) == sorted((port, DTLS_ALERT) for port in ports)
    assert (await room.next_offer("bob")).mids == {}
    wire.clear()
    # The others' media lives: within a second bob hears what arrived of his.
    await wire.until(lambda port, data: port == address(bob_publishing)[1] and data[0] >= MEDIA)
    async with asyncio.timeout(PATIENCE):
        while await sent_packets(ann_publishing) <= before + 20:
            await asyncio.sleep(0.02)
    wire.collect()
    assert [entry for entry in wire if entry[0] in ports] == []
    assert [data for port, data in wire if port == address(bob_subscribing)[1] and data[0] >= MEDIA] == []
    assert (await room.engine.stop("ann")).at >= stopped


async def test_media_is_forwarded_until_the_deadline_only(room, wire):
    """Neither RTP nor RTCP leaves after it, whatever comes in; connections live on, and all goes on when it is extended."""
    _, tracks = await room.publish("ann", room.picture(BRIGHT))
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]], is_near(BRIGHT))
    ticks = calls_of(room.engine._publications["ann"], "tick")
    room.engine.allow_until(time.monotonic())
    wire.collect()
    wire.clear()
    async with asyncio.timeout(PATIENCE):
        # A second of the engine's clock: time for pictures, and for a report.
        while len(ticks) < 12:
            await asyncio.sleep(0.02)
    await room.publish("eve", room.picture(DARK))
    assert [data for _, data in wire if MEDIA <= data[0] < 192] == []
    room.engine.allow_until(time.monotonic() + 60)
    await room.frame_of(received[tracks["video"]], is_near(BRIGHT))


def calls_of(target, name):
    """Give a list that grows with each call of a method."""
    calls, method = [], getattr(target, name)

    def call(*arguments):
        calls.append(arguments)
        return method(*arguments)

    setattr(target, name, call)
    return calls


async def test_nothing_is_forwarded_before_the_bus_was_heard(monkeypatch):
    """The deadline begins in the past."""
    engine = await UdpMediaEngine.start(MediaSettings(host="127.0.0.1", port=0), lambda _: None)
    assert not engine._mux.may_forward
    engine.allow_until(None)
    assert engine._mux.may_forward
    await engine.close()


async def test_losses_in_both_directions_are_repaired(room, wire):
    """The gateway asks the publisher for what it misses, and sends subscribers again what they miss."""
    _, tracks = await room.publish("ann", room.picture(BRIGHT))
    subscribing, received = await room.subscribe("bob", tracks["video"])
    track = received[tracks["video"]]
    await room.frame_of(track, is_near(BRIGHT))
    subscription = room.engine._subscribers["bob"]._subscriptions[tracks["video"]]
    publication = room.engine._publications["ann"]
    from_ann, to_bob = count(), count()
    published = publication.tracks[0].offered.ssrc
    wire.lost_before = lambda data: data[0] >= MEDIA and ssrc_of(data) == published and next(from_ann) % 5 == 0
    wire.lost = lambda data: data[0] >= MEDIA and ssrc_of(data) == subscription.ssrc and next(to_bob) % 5 == 0
    wire.clear()
    # With a fifth lost twice over and no repairs, this many pictures in a row would need luck beyond patience.
    stamps = [(await room.frame_of(track)).pts for _ in range(40)]
    assert {later - earlier for earlier, later in pairwise(stamps)} <= {4500, 9000}
    port = address(subscribing)[1]
    assert any(port == to and data[0] >= MEDIA and ssrc_of(data) == subscription.rtx_ssrc for to, data in wire)
    assert next(from_ann) > 20


async def test_more_tracks_than_allowed_are_refused(room):
    """The bound holds for one session, and the refusal changes nothing."""
    _, tracks = await room.publish("ann", AudioStreamTrack(), room.picture(BRIGHT))
    object.__setattr__(room.engine._settings, "max_subscriptions", 1)
    with pytest.raises(MediaRefusedError, match="media_limit: session subscriptions: at most 1"):
        await room.engine.subscribe("bob", frozenset(tracks.values()))
    await room.engine.subscribe("bob", frozenset({tracks["audio"]}))
    assert (await room.next_offer("bob")).mids == {"0": tracks["audio"]}


async def test_a_port_that_is_taken_is_named():
    """The operator reads which port it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"UDP 127.0.0.1 port {port}: Address already in use"):
            await UdpMediaEngine.start(MediaSettings(host="127.0.0.1", port=port), lambda _: None)


async def test_a_closed_session_leaves_no_memory_to_the_garbage_collector(room):
    """SRTP keys and TLS state are native memory that the collector does not see; they go when the session does."""
    _, tracks = await room.publish("ann", room.picture(BRIGHT))
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    publication, subscriber = room.engine._publications["ann"], room.engine._subscribers["bob"]
    gone = [weakref.ref(thing) for thing in (publication.peer, publication.peer._dtls, subscriber.peer, subscriber.peer._dtls)]
    pumps = [publication.peer._dtls._pump, subscriber.peer._dtls._pump]
    del publication, subscriber
    gc.collect()
    gc.disable()
    try:
        await room.engine.stop("ann")
        await room.engine.stop("bob")
        await asyncio.wait(pumps)
        del pumps
        await asyncio.sleep(0)
        assert [reference() for reference in gone] == [None] * 4
    finally:
        gc.enable()


def test_the_engines_keep_their_contract():
    """The signalling layer knows the protocol only."""
    methods = {name for name in vars(MediaEngine) if not name.startswith("_")}
    assert methods <= set(vars(UdpMediaEngine))
    assert methods <= set(vars(RemoteEngine))


async def sent_packets(connection) -> int:
    """Return how many datagrams a client has sent."""
    transport = connection.getTransceivers()[0].sender.transport
    return transport._get_stats()[transport._stats_id].packetsSent


def ssrc_of(packet) -> int:
    """Return the SSRC of an RTP packet."""
    return int.from_bytes(packet[8:12], "big")

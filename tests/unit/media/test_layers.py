"""A track in layers and its subscribers: who follows what, and that nobody sees the seam."""

from itertools import pairwise

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media import rtcp
from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.interface import Track
from services.edge_gateway.media.layered_subscription import LayeredSubscription
from services.edge_gateway.media.layered_track import LayeredTrack
from services.edge_gateway.media.rid import NamedStream, RidIds
from services.edge_gateway.media.rtp import Packet
from services.edge_gateway.media.sdp import OfferedTrack
from services.edge_gateway.media.streams import PlainReceiveStream

SSRCS = {"big": 1000, "small": 2000}
OUT, OUT_RTX = 50, 51
SECOND = 1 << 32


class Client:
    """The other end of a peer connection: remembers what it was sent."""

    may_forward = False
    """Nothing goes to anybody but by way of a tap."""

    def __init__(self) -> None:
        self.out = memoryview(bytearray(2048))
        self.sent: list[bytes] = []
        self.rtcp: list[bytes] = []

    def send_rtp(self, length: int) -> None:
        """Take a packet."""
        self.sent.append(bytes(self.out[:length]))

    def send_rtcp(self, data: bytes) -> None:
        """Take feedback."""
        self.rtcp.append(data)

    def forwarded(self) -> None:
        """Measure nothing."""

    def receive_stream(self, *_of, keep: bool) -> PlainReceiveStream:
        """Take a stream in."""
        return PlainReceiveStream(self, keep=keep)

    @property
    def rtp(self) -> list[RtpPacket]:
        """What was sent, read by aiortc."""
        return [RtpPacket.parse(data) for data in self.sent]


class Publisher:
    """Sends one picture in two sizes; each counts from numbers of its own."""

    def __init__(self, codec: str = "VP8") -> None:
        self.client = Client()
        offered = OfferedTrack(CODECS[codec], 96, 0, 97, None, None, ("big", "small"), RidIds(10, 11))
        self.track = LayeredTrack(Track("v", "video", codec, layered=True), "stream", offered, self.client, 9)
        self.codec = codec
        self.now = 0.0
        self.next = {"big": 65530, "small": 100}
        self.picture = {"big": 0x7FFE, "small": 40}
        self.begins = {"big": 5000, "small": 4_000_000_000}
        self.streams = {}

    def appears(self, layer: str) -> None:
        """Have the first packet of a layer tell its SSRC."""
        self.streams[layer] = self.track.learn(NamedStream(layer, repairs=False), SSRCS[layer], self.now)

    def reports(self, layer: str) -> None:
        """Send a sender report."""
        report = rtcp.SenderReport(SSRCS[layer], int(self.now * SECOND), self.timestamp(layer))
        self.streams[layer].on_sender_report(report, self.now)

    def timestamp(self, layer: str) -> int:
        """Return the RTP time of now."""
        return (self.begins[layer] + round(self.now * 90_000)) & 0xFFFFFFFF

    def make(self, layer: str, *, key: bool = False) -> Packet:
        """Make the next frame, of one packet."""
        sequence, self.next[layer] = self.next[layer], self.next[layer] + 1
        self.picture[layer] += 1
        if self.codec == "VP8":
            count = self.picture[layer]
            descriptor = VpxPayloadDescriptor(1, 0, picture_id=count & 0x7FFF, tl0picidx=count & 0xFF, tid=(0, 0))
            payload = bytes(descriptor) + (b"\x00" if key else b"\x01") + layer.encode()
        else:
            payload = (b"\x67" if key else b"\x41") + layer.encode()
        return Packet(
            marker=0x80,
            payload_type=96,
            sequence=sequence & 0xFFFF,
            timestamp=self.timestamp(layer),
            ssrc=SSRCS[layer],
            payload=payload,
        )

    def frame(self, layer: str, *, key: bool = False) -> None:
        """Send the next frame."""
        self.deliver(layer, self.make(layer, key=key))

    def deliver(self, layer: str, packet: Packet) -> None:
        """Have a packet arrive."""
        self.streams[layer].on_packet(packet, self.now)

    def passes(self, seconds: float, *layers: str) -> None:
        """Let time pass, with frames of these layers."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            for layer in layers:
                self.frame(layer)
            self.track.tick(self.now)

    def asked(self) -> list[int]:
        """Say which layers' key frames were asked for since the last time."""
        items = [item for data in self.client.rtcp for item in rtcp.parse(data)]
        self.client.rtcp.clear()
        return [item.ssrc for item in items if isinstance(item, rtcp.KeyFrameRequest)]


def subscribed(publisher: Publisher, *, small: bool = False, rtx: bool = True) -> tuple[Client, LayeredSubscription]:
    """Add a subscriber."""
    client = Client()
    subscription = LayeredSubscription(publisher.track, client, client.out, OUT, OUT_RTX)
    subscription.wanted = "small" if small else "big"
    subscription.negotiate(rtx=rtx, extensions=False)
    subscription.begin(publisher.now)
    return client, subscription


def both(codec: str = "VP8") -> Publisher:
    """Give a publisher whose layers are both there."""
    publisher = Publisher(codec)
    for layer in ("small", "big"):
        publisher.appears(layer)
        publisher.reports(layer)
    return publisher


def contents(client: Client) -> str:
    """Name the layers that were sent, by their first letters."""
    return "".join("b" if packet.payload.endswith(b"big") else "s" for packet in client.rtp)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_switch_waits_for_a_key_frame_and_leaves_no_seam(codec):
    """The numbers go on by one, time by what has passed, VP8's counts too, over wraps of all of them."""
    publisher = both(codec)
    client, subscription = subscribed(publisher)
    publisher.frame("big")
    assert client.rtp == []
    publisher.frame("big", key=True)
    publisher.passes(1.0, "big", "small")
    publisher.asked()
    subscription.want("small", publisher.now)
    assert publisher.asked() == [SSRCS["small"]]
    publisher.passes(0.3, "big", "small")
    publisher.now += 0.1
    publisher.frame("small", key=True)
    publisher.passes(0.5, "big", "small")
    subscription.want("big", publisher.now)
    publisher.now += 0.1
    publisher.frame("big", key=True)
    publisher.passes(0.3, "big", "small")
    assert contents(client) == "b" * 14 + "s" * 6 + "b" * 4
    packets = client.rtp
    assert {packet.ssrc for packet in packets} == {OUT}
    assert {packet.payload_type for packet in packets} == {CODECS[codec].payload_type}
    for before, after in pairwise(packets):
        assert (after.sequence_number - before.sequence_number) & 0xFFFF == 1
        assert abs(((after.timestamp - before.timestamp) & 0xFFFFFFFF) - 9000) <= 1
        if codec == "VP8":
            old, _ = VpxPayloadDescriptor.parse(before.payload)
            new, _ = VpxPayloadDescriptor.parse(after.payload)
            assert (new.picture_id - old.picture_id) & 0x7FFF == 1
            assert (new.tl0picidx - old.tl0picidx) & 0xFF == 1


def test_what_is_lost_before_the_seam_is_repaired_after_it():
    """From the layer that it was of; and what is sent again has the numbers that it had."""
    publisher = both()
    client, subscription = subscribed(publisher, rtx=False)
    publisher.frame("big", key=True)
    publisher.passes(0.3, "big")
    subscription.want("small", publisher.now)
    publisher.frame("small", key=True)
    publisher.passes(0.3, "small")
    everything = list(client.sent)
    first = client.rtp[0].sequence_number
    subscription.repair(tuple((first + index) & 0xFFFF for index in range(-2, len(everything) + 2)))
    assert client.sent[len(everything) :] == everything
    publisher.passes(3.5, "small")
    count = len(client.sent)
    subscription.repair((first,))
    assert len(client.sent) == count


def test_a_repair_over_rtx_names_the_number_that_was_missed():
    """With VP8's counts moved, as in the packet that was lost."""
    publisher = both()
    client, subscription = subscribed(publisher)
    publisher.frame("small", key=True)
    publisher.frame("big", key=True)
    subscription.want("small", publisher.now)
    publisher.frame("small", key=True)
    lost = client.rtp[-1]
    subscription.repair((lost.sequence_number,))
    again = client.rtp[-1]
    assert (again.ssrc, again.payload_type) == (OUT_RTX, CODECS["VP8"].rtx_payload_type)
    assert again.payload == lost.sequence_number.to_bytes(2, "big") + lost.payload


def test_what_comes_late_of_the_other_layer_is_not_sent():
    """Nor what is older than the key frame of the new one: its number is taken."""
    publisher = both()
    client, subscription = subscribed(publisher)
    publisher.frame("big", key=True)
    late = publisher.make("big")
    publisher.frame("big")
    subscription.want("small", publisher.now)
    early = publisher.make("small")
    publisher.frame("small", key=True)
    publisher.deliver("big", late)
    publisher.deliver("small", early)
    publisher.frame("small")
    assert contents(client) == "bbss"


@given(st.lists(st.tuples(st.sampled_from(["frame", "key", "late", "want", "ask"]), st.sampled_from(["big", "small"])), max_size=60))
def test_no_number_is_used_for_two_contents(steps):
    """With AES-GCM that would give the key away. In any order of frames, late arrivals, switches and repairs."""
    publisher = both()
    client, subscription = subscribed(publisher, rtx=False)
    held: dict[str, Packet] = {}
    for what, layer in steps:
        publisher.now += 0.02
        if what == "want":
            subscription.want(layer, publisher.now)
        elif what == "late":
            if layer in held:
                publisher.deliver(layer, held.pop(layer))
            else:
                held[layer] = publisher.make(layer)
        elif what == "ask" and client.sent:
            last = client.rtp[-1].sequence_number
            subscription.repair(tuple((last - back) & 0xFFFF for back in range(10)))
        else:
            publisher.frame(layer, key=what == "key")
    used: dict[int, bytes] = {}
    for data in client.sent:
        assert used.setdefault(int.from_bytes(data[2:4], "big"), data) == data


def test_the_other_layer_is_better_than_none():
    """Who wants the big picture sees the small one while it is the only one that comes, and the big one when it comes again."""
    publisher = Publisher()
    client, _ = subscribed(publisher)
    publisher.appears("small")
    assert publisher.asked() == [SSRCS["small"]]
    publisher.frame("small", key=True)
    publisher.appears("big")
    assert publisher.asked() == [SSRCS["big"]]
    publisher.frame("big", key=True)
    publisher.passes(2.0, "small")
    assert SSRCS["small"] in publisher.asked()
    publisher.frame("small", key=True)
    publisher.frame("small")
    publisher.frame("big")
    publisher.track.tick(publisher.now)
    assert SSRCS["big"] in publisher.asked()
    publisher.frame("big", key=True)
    assert contents(client) == "sbssb"


def test_a_key_frame_that_does_not_come_is_asked_for_again():
    """A request may be lost like any packet."""
    publisher = both()
    subscribed(publisher)
    publisher.asked()
    publisher.passes(0.8, "big")
    assert publisher.asked() == []
    publisher.passes(0.5, "big")
    assert publisher.asked() == [SSRCS["big"]]


def test_who_has_ended_gets_nothing_and_may_begin_again():
    """Of the layer that it had, and of the one that it waited for."""
    publisher = both()
    client, subscription = subscribed(publisher)
    publisher.frame("big", key=True)
    subscription.want("small", publisher.now)
    subscription.end()
    publisher.frame("small", key=True)
    publisher.frame("big", key=True)
    publisher.passes(0.2, "big", "small")
    assert contents(client) == "b"
    subscription.wanted = "big"
    subscription.begin(publisher.now)
    publisher.frame("big", key=True)
    assert contents(client) == "bb"


def test_reports_are_those_of_the_layer_that_is_sent():
    """Translated to the stream that the subscriber knows, so that sound and picture stay in step."""
    publisher = both()
    client, _ = subscribed(publisher)
    publisher.frame("big", key=True)
    client.rtcp.clear()
    publisher.now = 1.0
    publisher.reports("small")
    publisher.reports("big")
    (report,) = (item for data in client.rtcp for item in rtcp.parse(data))
    assert (report.ssrc, report.ntp) == (OUT, SECOND)
    assert (report.timestamp - client.rtp[0].timestamp) & 0xFFFFFFFF == 90_000


def test_muted_by_the_server_nothing_is_forwarded():
    """To nobody, in no layer, and a layer that comes later is muted too."""
    publisher = Publisher()
    publisher.appears("big")
    client, _ = subscribed(publisher)
    publisher.track.mute(0.0, muted=True)
    publisher.appears("small")
    publisher.frame("big", key=True)
    publisher.frame("small", key=True)
    assert client.rtp == []
    publisher.track.mute(0.0, muted=False)
    publisher.frame("big", key=True)
    assert contents(client) == "b"


def test_what_is_not_sent_while_muted_leaves_no_gap():
    """The numbers go on where they were, nothing of the time between can be had, and what is sent can be repaired."""
    publisher = both()
    client, subscription = subscribed(publisher)
    publisher.frame("big", key=True)
    publisher.frame("big")
    publisher.track.mute(0.0, muted=True)
    for _ in range(3):
        publisher.frame("big")
    publisher.track.mute(0.0, muted=False)
    publisher.frame("big")
    publisher.frame("big", key=True)
    publisher.frame("big")
    numbers = [packet.sequence_number for packet in client.rtp]
    assert [(number - numbers[0]) & 0xFFFF for number in numbers] == list(range(len(numbers)))
    assert contents(client) == "bbbb"
    client.sent.clear()
    subscription.repair(tuple(numbers))
    assert len(client.sent) == 2 * len(numbers) // 4

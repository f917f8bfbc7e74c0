"""A track and its subscriptions: who is asked for what, and who gets what again."""

import pytest
from aiortc.rtp import RtcpPacket

from services.edge_gateway.media import rtcp
from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.ice import Credentials
from services.edge_gateway.media.interface import Track
from services.edge_gateway.media.measures import Measures
from services.edge_gateway.media.rtp import Packet
from services.edge_gateway.media.sdp import OfferedTrack
from services.edge_gateway.media.sdp_writer import LocalTransport
from services.edge_gateway.media.subscriber import Subscriber
from services.edge_gateway.media.subscription import Subscription
from services.edge_gateway.media.track import PublishedTrack

SSRC, RTX_SSRC, OURS = 1000, 1001, 9
TRANSPORT = LocalTransport(Credentials("ufrag", "password"), ":".join(["AB"] * 32), ("192.0.2.1",), 40000)


class SubscribingPeer:
    """The peer connection of a subscriber, connected."""

    connected = True
    remote = None

    def __init__(self, client) -> None:
        self.link = client.link

    def expect(self, fingerprints) -> None:
        """Accept any client."""

    def expect_channel(self, port) -> None:
        """Have none."""


def asked(publisher) -> list:
    """Say what a publisher was asked for since the last time."""
    items = [item for data in publisher.rtcp for item in rtcp.parse(data)]
    publisher.rtcp.clear()
    return items


@pytest.fixture
def publisher(client):
    """Give the publisher's end."""
    return client()


@pytest.fixture
def subscribed(client):
    """Give a function that adds a subscriber to a track."""

    def subscribe(track: PublishedTrack, *, rtx: bool = True):
        end = client()
        subscription = Subscription(track, end.link, end.out, 50, 51)
        subscription.negotiate(rtx=rtx, extensions=False)
        track.add(subscription, 0.0)
        return end, subscription

    return subscribe


@pytest.fixture
def video(publisher) -> PublishedTrack:
    """Give a video track."""
    offered = OfferedTrack(CODECS["VP8"], 120, SSRC, 124, RTX_SSRC, None)
    return PublishedTrack(Track("v", "video", "VP8"), "stream", offered, publisher.link, extension_ids={}, sender=OURS)


def media(sequence: int, payload: bytes = b"frame", payload_type: int = 120) -> Packet:
    """Make a packet of the track."""
    return Packet(marker=0, payload_type=payload_type, sequence=sequence, timestamp=sequence * 3000, ssrc=SSRC, payload=payload)


def again(sequence: int, payload: bytes = b"frame", payload_type: int = 124) -> Packet:
    """Make a retransmission of a packet."""
    original = sequence.to_bytes(2, "big") + payload
    return Packet(marker=0, payload_type=payload_type, sequence=5, timestamp=sequence * 3000, ssrc=RTX_SSRC, payload=original)


def test_a_gap_is_asked_for_and_its_repair_forwarded(publisher, video, subscribed):
    """The subscriber gets the packet at its own number, once, however often it comes."""
    client, _ = subscribed(video)
    assert asked(publisher) == [rtcp.KeyFrameRequest(SSRC)]
    for sequence in (10, 12):
        video.on_packet(media(sequence), 0.0)
    assert asked(publisher) == [rtcp.Nack(SSRC, (11,))]
    video.on_retransmission(again(11, b"first"), 0.05)
    video.on_retransmission(again(11, b"other"), 0.05)
    video.on_packet(media(11, b"other"), 0.05)
    first = client.rtp[0].sequence_number
    assert [(packet.sequence_number - first, packet.payload) for packet in client.rtp] == [(0, b"frame"), (2, b"frame"), (1, b"first")]
    video.tick(0.2)
    assert asked(publisher) == []


def test_what_does_not_come_is_asked_for_again(publisher, video):
    """At the next tick after a tenth of a second."""
    for sequence in (10, 12):
        video.on_packet(media(sequence), 0.0)
    asked(publisher)
    video.tick(0.05)
    assert asked(publisher) == []
    video.tick(0.11)
    assert asked(publisher) == [rtcp.Nack(SSRC, (11,))]


def test_holes_in_quick_succession_make_few_requests(publisher, video):
    """Every second packet of a thousand a second is lost: 50 requests a second, each for all that is due."""
    for index in range(400):
        video.on_packet(media(2 * index), index / 1000)
    requests = asked(publisher)
    assert len(requests) == 20
    assert requests[1].sequences == tuple(range(3, 42, 2))


def test_probes_and_strange_payload_types_are_not_forwarded(publisher, video, subscribed):
    """A retransmission of what was not missing is a bandwidth probe."""
    client, _ = subscribed(video)
    video.on_retransmission(again(10), 0.0)
    video.on_packet(media(10, payload_type=99), 0.0)
    video.on_packet(media(10), 0.0)
    video.on_packet(media(12), 0.0)
    video.on_retransmission(again(10), 0.0)
    video.on_retransmission(again(11, payload_type=99), 0.0)
    video.on_retransmission(Packet(marker=0, payload_type=124, sequence=6, timestamp=0, ssrc=RTX_SSRC, payload=b""), 0.0)
    assert [packet.payload for packet in client.rtp] == [b"frame", b"frame"]


def test_audio_is_not_asked_for_again(publisher, subscribed):
    """Opus repairs itself; a packet that is only late is forwarded all the same."""
    offered = OfferedTrack(CODECS["opus"], 109, SSRC, None, None, None)
    track = PublishedTrack(Track("a", "audio", "opus"), "stream", offered, publisher.link, extension_ids={}, sender=OURS)
    client, subscription = subscribed(track)
    for sequence in (10, 12, 11):
        track.on_packet(media(sequence, payload_type=109), 0.0)
    subscription.repair((client.rtp[0].sequence_number,))
    track.tick(1.0)
    assert asked(publisher) == []
    assert [packet.payload_type for packet in client.rtp] == [111] * 3


@pytest.mark.parametrize("rtx", [True, False])
def test_subscribers_get_again_what_they_miss(video, rtx, subscribed):
    """As a retransmission where that was negotiated; otherwise the very same bytes."""
    client, subscription = subscribed(video, rtx=rtx)
    for sequence in range(65530, 65540):
        video.on_packet(media(sequence & 0xFFFF, bytes([sequence & 0xFF])), 0.0)
    sent = client.rtp.copy()
    client.rtp.clear()
    numbers = tuple(packet.sequence_number for packet in sent[5:8])
    subscription.repair((*numbers, (numbers[0] - 100) & 0xFFFF))
    if rtx:
        assert [(packet.ssrc, packet.payload_type, packet.payload) for packet in client.rtp] == [
            (51, 97, packet.sequence_number.to_bytes(2, "big") + packet.payload) for packet in sent[5:8]
        ]
        assert client.rtp[1].sequence_number == client.rtp[0].sequence_number + 1
    else:
        assert client.rtp == sent[5:8]
        assert client.sealed[-3:] == client.sealed[5:8]


@pytest.mark.parametrize("there", [True, False])
def test_repairs_are_bounded(monkeypatch, video, client, there):
    """Nobody makes an amplifier of the history, nor keeps us busy with looking for what is not there."""
    end = client()
    subscriber = Subscriber("bob", lambda *_: SubscribingPeer(end), lambda _: TRANSPORT, end.out, 4, measures=Measures())
    assert subscriber.want({"v": video})
    offer = subscriber.make_offer()
    assert not subscriber.answer(1, offer.sdp.replace("actpass", "active").replace("sendonly", "recvonly"))
    (ssrc,) = subscriber._by_ssrc
    video.on_packet(media(10), 0.0)
    number = end.rtp.pop().sequence_number
    looked_for, find = [], video.find
    monkeypatch.setattr(video, "find", lambda sequence: looked_for.append(sequence) or find(sequence))
    missed = [number if there else number + 100] * 250
    for _ in range(10):
        for now in (1.0, 1.9):
            subscriber.on_rtcp(rtcp.nack(1, ssrc, missed), now)
            end.collect()
    assert (len(looked_for), len(end.rtp)) == (1000, 1000 * there)
    # What names no stream of ours counts too.
    subscriber.on_rtcp(rtcp.nack(1, ssrc + 1, missed), 2.0)
    for _ in range(10):
        subscriber.on_rtcp(rtcp.nack(1, ssrc, missed), 2.1)
        end.collect()
    assert len(looked_for) == 1000 + 750


def test_nothing_is_repaired_or_reported_before_the_first_packet(video, subscribed):
    """There are no numbers yet."""
    client, subscription = subscribed(video)
    subscription.repair((1, 2))
    video.on_sender_report(rtcp.SenderReport(SSRC, 1, 2), 0.0)
    assert (client.rtp, client.rtcp) == ([], [])


def test_key_frames_are_asked_for_twice_a_second_at_most(publisher, video, subscribed):
    """A request that came too soon is not forgotten: a tick makes up for it."""
    subscribed(video)
    assert asked(publisher) == [rtcp.KeyFrameRequest(SSRC)]
    for _ in range(10):
        video.request_key_frame(0.1)
    video.tick(0.4)
    assert asked(publisher) == []
    video.tick(0.5)
    video.tick(0.6)
    assert asked(publisher) == [rtcp.KeyFrameRequest(SSRC)]


def test_sender_reports_are_translated(video, subscribed):
    """The same clock, this stream's timestamps, and what was sent of it; a late subscriber gets the last one at once."""
    early, _ = subscribed(video)
    video.on_packet(media(10, b"12345"), 0.0)
    video.on_sender_report(rtcp.SenderReport(SSRC, 77, 30000 + 50), 0.0)
    late, _ = subscribed(video)
    video.on_packet(media(11, b"678"), 0.0)
    for client, packets, octets in ((early, 1, 5), (late, 0, 0)):
        report, description = RtcpPacket.parse(client.rtcp[0])
        assert (report.ssrc, report.sender_info.ntp_timestamp) == (50, 77)
        assert (report.sender_info.packet_count, report.sender_info.octet_count) == (packets, octets)
        assert description.chunks[0].items == [(1, b"stream")]
        offset = 0 if client is early else 3000
        assert (report.sender_info.rtp_timestamp - client.rtp[0].timestamp + offset) & 0xFFFFFFFF == 50


def test_sender_reports_are_passed_on_ten_times_a_second_at_most(video, subscribed):
    """Each goes to every subscriber, and 70 fit into one datagram."""
    client, _ = subscribed(video)
    video.on_packet(media(10), 0.0)
    for number in range(70):
        video.on_sender_report(rtcp.SenderReport(SSRC, number, 30000), 1.0)
    assert len(client.rtcp) == 1
    video.on_sender_report(rtcp.SenderReport(SSRC, 70, 30000), 1.1)
    assert len(client.rtcp) == 2


def test_a_closed_track_sends_nothing_again(video, subscribed):
    """Neither what comes, nor what is kept."""
    client, subscription = subscribed(video)
    video.on_packet(media(10), 0.0)
    video.close()
    subscription.repair((client.rtp[0].sequence_number,))
    video.on_packet(media(11), 0.0)
    assert len(client.rtp) == 1


def test_after_removal_nothing_is_forwarded(video, subscribed):
    """Removed, it gets nothing; removed again, nothing happens."""
    client, subscription = subscribed(video)
    video.add(subscription, 0.0)
    video.on_packet(media(10), 0.0)
    video.remove(subscription)
    video.remove(subscription)
    video.on_packet(media(11), 0.0)
    assert len(client.rtp) == 1


KEY, DELTA = b"\x10\x00key", b"\x10\x01delta"


def audio_of(publisher) -> PublishedTrack:
    """Make an audio track."""
    offered = OfferedTrack(CODECS["opus"], 109, SSRC, None, None, None)
    return PublishedTrack(Track("a", "audio", "opus"), "stream", offered, publisher.link, extension_ids={}, sender=OURS)


def numbers_of(client) -> list[int]:
    """Say what came, by numbers that begin at 0."""
    first = client.rtp[0].sequence_number
    return [(packet.sequence_number - first) & 0xFFFF for packet in client.rtp]


def test_what_is_muted_is_no_loss(publisher, subscribed):
    """The numbers go on where they were; what was lost before or meanwhile and comes late is not sent under a number that was used."""
    track = audio_of(publisher)
    client, _ = subscribed(track)
    for sequence in (65530, 65531, 65533):
        track.on_packet(media(sequence, b"heard", 109), 0.0)
    track.mute(0.0, muted=True)
    track.mute(0.0, muted=True)
    for sequence in (65534, 65535, 0, 1, 3):
        track.on_packet(media(sequence, b"secret", 109), 0.0)
    track.mute(0.0, muted=False)
    track.mute(0.0, muted=False)
    for sequence in (65532, 2, 5, 4, 6):
        track.on_packet(media(sequence, b"again", 109), 0.0)
    assert numbers_of(client) == [0, 1, 3, 5, 4, 6]
    assert [packet.payload for packet in client.rtp] == [b"heard"] * 3 + [b"again"] * 3


@pytest.mark.parametrize("rtx", [True, False])
def test_after_a_mute_a_picture_goes_on_with_a_key_frame(publisher, video, subscribed, rtx):
    """A decoder that finds no gap would build on what it was not sent. It is asked for until it comes."""
    client, subscription = subscribed(video, rtx=rtx)
    for sequence, payload in ((10, KEY), (11, DELTA), (13, DELTA)):
        video.on_packet(media(sequence, payload), 0.0)
    video.mute(1.0, muted=True)
    for sequence in range(14, 20):
        video.on_packet(media(sequence, KEY), 1.0)
    video.tick(1.5)
    asked(publisher)
    video.mute(2.0, muted=False)
    assert asked(publisher) == [rtcp.KeyFrameRequest(SSRC)]
    video.on_packet(media(20, DELTA), 2.0)
    video.tick(2.6)
    assert asked(publisher) == [rtcp.KeyFrameRequest(SSRC)]
    # A key frame of before that comes late is none to go on with.
    video.on_retransmission(again(12, KEY), 2.7)
    video.on_packet(media(21, KEY), 2.7)
    video.on_packet(media(22, DELTA), 2.7)
    assert numbers_of(client) == [0, 1, 3, 4, 5]
    first = client.rtp[0].sequence_number
    client.rtp.clear()
    subscription.repair(tuple(first + number for number in range(6)))
    assert [packet.payload[2 if rtx else 0 :] for packet in client.rtp] == [KEY, DELTA]
    video.tick(4.0)
    assert rtcp.KeyFrameRequest(SSRC) not in asked(publisher)


def test_what_was_said_while_muted_cannot_be_asked_for(video, subscribed):
    """Not by the numbers that it would have had."""
    client, subscription = subscribed(video)
    video.on_packet(media(10, KEY), 0.0)
    first = client.rtp[0].sequence_number
    video.mute(0.0, muted=True)
    for sequence in range(11, 15):
        video.on_packet(media(sequence, KEY), 0.0)
    client.rtp.clear()
    subscription.repair(tuple(first + number for number in range(1, 5)))
    assert client.rtp == []


@pytest.mark.parametrize("rtx", [True, False])
def test_what_was_sent_before_a_mute_is_not_sent_again_as_something_else(video, subscribed, rtx):
    """Numbers mean another packet since; with AES-GCM, other bytes under one number would give the key away."""
    client, subscription = subscribed(video, rtx=rtx)
    for sequence in range(10, 20):
        video.on_packet(media(sequence, KEY), 0.0)
    numbers = tuple(packet.sequence_number for packet in client.rtp)
    video.mute(0.0, muted=True)
    video.on_packet(media(20, KEY), 0.0)
    video.mute(0.0, muted=False)
    video.on_packet(media(21, KEY), 0.0)
    client.rtp.clear()
    subscription.repair(numbers)
    assert client.rtp == []

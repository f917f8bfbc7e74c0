"""Both engines get the same datagrams, and what they send is the same to the bit."""

import os
import random
import struct
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pylibsrtp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.edge_gateway.media import publication, rtcp, subscription
from services.edge_gateway.media.codecs import CODECS
from services.edge_gateway.media.dtls import SharedCertificate
from services.edge_gateway.media.forwarding import UNLIMITED, Allowance
from services.edge_gateway.media.measures import Measures
from services.edge_gateway.media.peer import Peer
from services.edge_gateway.media.publication import Publication
from services.edge_gateway.media.sdp import read_offer
from services.edge_gateway.media.sdp_writer import LocalTransport
from services.edge_gateway.media.subscription import Subscription
from tests.support.media import MediaClient, engine

pytest.importorskip("services.edge_gateway.media.native._forwarding", reason="no C compiler was there at install")

CAPTURED = Path(__file__).parents[2] / "unit" / "media" / "sdp" / "chromium-offer.sdp"
LEVEL = 13
"""The publisher's number of the audio level, unlike ours."""
SDP = CAPTURED.read_text().replace(
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level", f"a=extmap:{LEVEL} urn:ietf:params:rtp-hdrext:ssrc-audio-level"
)
OFFER = read_offer("\r\n".join(SDP.splitlines()) + "\r\n", list(CODECS.values()))
TRACKS = len(OFFER.tracks)
SUBSCRIBERS = 3
KEYS = [(os.urandom(44), os.urandom(44)) for _ in range(1 + SUBSCRIBERS)]
BLOCKS = (
    b"",
    bytes.fromhex("bede0003 10aa 32bbccdd 00") + bytes([LEVEL << 4, 0x85, 0, 0, 0]),
    bytes.fromhex("bede0002") + bytes([LEVEL << 4, 0x85, LEVEL << 4, 0x86, 0x32, 1, 2, 3]),
    bytes.fromhex("bede0001") + bytes([0xF0, 0, LEVEL << 4, 0x85]),
    bytes.fromhex("bede0001") + bytes([LEVEL << 4 | 15, 0, 0, 0]),
    bytes.fromhex("10000001 01020304"),
    bytes.fromhex("bede0000"),
)
"""Header extensions: none, ours among others, twice, behind the end, cut off, of another profile, none inside."""
VP8_KEY = b"\x10\x00"
CERTIFICATE = SharedCertificate.generateCertificate()


class World:
    """An engine, a publisher, and subscribers."""

    def __init__(self, mux) -> None:
        self.mux = mux
        self.publisher, *self.subscribers = (MediaClient(mux, keys) for keys in KEYS)
        self.publication = Publication("ann", OFFER, self._connect, self._describe, 1_000_000, measures=Measures())
        self.publisher.connect(self.publication.peer)
        self.subscriptions = {
            (index, number): Subscription(track, end.link, end.out, 10 * number + 1, 10 * number + 2)
            for index, end in enumerate(self.subscribers)
            for number, track in enumerate(self.publication.tracks)
        }
        for (index, _), one in self.subscriptions.items():
            one.negotiate(rtx=index != 1, extensions=index != 2)

    def _connect(self, session, user) -> Peer:
        return Peer(session, user, self.mux, CERTIFICATE, 5.0, failed=lambda _: None)

    def _describe(self, peer) -> LocalTransport:
        return LocalTransport(peer.credentials, CERTIFICATE.sha256, ("192.0.2.1",), 40000)

    def sent(self):
        """Say what left, in the order of each stream, and what is counted."""
        streams = defaultdict(list)
        for index, end in enumerate((self.publisher, *self.subscribers)):
            end.take_in()
            for data in end.sealed:
                is_rtcp = 192 <= data[1] <= 223
                streams[index, "rtcp" if is_rtcp else data[8:12]].append(data)
            end.sealed.clear()
        traffic = [one.traffic() for one in (*self.publication.tracks, *self.subscriptions.values())]
        dropped = (self.mux.losses.too_fast, [end.link.too_fast for end in (self.publisher, *self.subscribers)])
        counted = {name: (bool(one.stream.started), one.stream.packets, one.stream.octets) for name, one in self.subscriptions.items()}
        return dict(streams), counted, traffic, dropped, sum(self.mux.forwarding.counts)

    def reports(self, now):
        """Say what arrived."""
        return [track.report(now) for track in self.publication.tracks]

    def close(self) -> None:
        """Free the sockets."""
        for end in (self.publisher, *self.subscribers):
            end.close()


@dataclass
class Stream:
    """A publisher's stream as it is being sent."""

    sequence: int
    timestamp: int = 0


class Story:
    """What happens to both worlds."""

    def __init__(self, worlds, first: int) -> None:
        self.worlds = worlds
        self.now = 1000.0
        self.streams = [Stream(first) for _ in OFFER.tracks]
        self.chance = random.Random(first)  # noqa: S311 - no secret

    def clock(self) -> float:
        """Tell the time of both."""
        return self.now

    def send(self, track, step, *, size=50, csrcs=0, padding=0, extension=0, payload_type=0, key=False):
        """Send a packet, so many numbers after the one before."""
        stream, offered = self.streams[track % TRACKS], OFFER.tracks[track % TRACKS]
        sequence = (stream.sequence + step) & 0xFFFF
        if 0 < step < 0x8000:
            stream.sequence = sequence
            stream.timestamp = (stream.timestamp + 3000) & 0xFFFFFFFF
        self.send_to_all(
            offered.ssrc, offered.payload_type + payload_type, sequence, (stream.timestamp, size, csrcs, padding, extension, key)
        )

    def send_again(self, track, back):
        """Send a retransmission of a packet, lost or not."""
        stream, offered = self.streams[track % TRACKS], OFFER.tracks[track % TRACKS]
        if offered.rtx_ssrc is None:
            return
        original = struct.pack("!H", (stream.sequence - back) & 0xFFFF)
        header = struct.pack("!BBHII", 0x80, offered.rtx_payload_type, self.chance.getrandbits(15), stream.timestamp, offered.rtx_ssrc)
        self.to_all(header + original + b"again")

    def send_to_all(self, ssrc, payload_type, sequence, shape):
        """Put a packet together, and send it."""
        timestamp, size, csrcs, padding, extension, key = shape
        block = BLOCKS[extension % len(BLOCKS)]
        first = 0x80 | (0x20 if padding else 0) | (0x10 if block else 0) | csrcs
        tail = bytes(max(padding - 1, 0)) + (bytes([padding]) if padding else b"")
        header = struct.pack("!BBHII", first, self.chance.choice([0, 0x80]) | payload_type & 0x7F, sequence, timestamp, ssrc)
        self.to_all(header + bytes(4 * csrcs) + block + (VP8_KEY if key else b"") + self.chance.randbytes(size) + tail)

    def to_all(self, packet):
        """Encrypt a packet, and send it to both engines."""
        for world in self.worlds:
            with suppress(pylibsrtp.Error):  # it is too old to be encrypted
                world.publisher.send(packet)

    def raw(self, data):
        """Send what nobody encrypted."""
        for world in self.worlds:
            world.publisher.socket.send(data)

    def burst(self, track, count):
        """Send packets in order: more than fit into one batch, of sizes that can be sent together and sizes that cannot."""
        for number in range(count):
            self.send(track, 1, size=(100, 100, 100, 60)[number % 4])

    def add(self, subscriber, track):
        """Subscribe."""
        for world in self.worlds:
            one = world.subscriptions[subscriber % SUBSCRIBERS, track % TRACKS]
            one.source.add(one, self.now)

    def remove(self, subscriber, track):
        """Unsubscribe."""
        for world in self.worlds:
            one = world.subscriptions[subscriber % SUBSCRIBERS, track % TRACKS]
            one.source.remove(one)

    def leave(self, subscriber):
        """Take the keys of a subscriber away."""
        for world in self.worlds:
            world.subscribers[subscriber % SUBSCRIBERS].link.close()

    def miss(self, subscriber, track, back):
        """Have a subscriber ask for a packet again."""
        for world in self.worlds:
            one = world.subscriptions[subscriber % SUBSCRIBERS, track % TRACKS]
            theirs = (self.streams[track % TRACKS].sequence - back) & 0xFFFF
            one.repair(((theirs + one.stream.sequence_offset) & 0xFFFF,))

    def mute(self, *kinds):
        """Forward these kinds to nobody, and others again."""
        for world in self.worlds:
            world.publication.mute(frozenset(kinds), self.now)

    def report(self, track):
        """Send a sender report."""
        for world in self.worlds:
            world.publication.tracks[track % TRACKS].on_sender_report(rtcp.SenderReport(1, 77, 5), self.now)

    def turn(self, seconds):
        """Let both engines work, and compare what they did."""
        self.now += seconds
        for world in self.worlds:
            for _ in range(4):
                world.mux._drain(*world.mux._sockets.values())
            world.publication.tick(self.now)
        python, native = (world.sent() for world in self.worlds)
        assert native == python
        reports = [world.reports(self.now) for world in self.worlds]
        assert reports[0] == reports[1]


number = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(
        st.just("send"),
        number,
        st.sampled_from([1, 1, 1, 1, 1, 2, 3, 200, 0, 0xFFFF, 0xFFFE, 0xFFF0, 0x8000]),
    ),
    st.builds(
        lambda track, **shape: ("send", track, 1, shape),
        number,
        size=st.sampled_from([0, 1, 50, 1000]),
        csrcs=st.sampled_from([0, 0, 2, 15]),
        padding=st.sampled_from([0, 0, 1, 4, 255]),
        extension=st.integers(0, len(BLOCKS) - 1),
        payload_type=st.sampled_from([0, 0, 0, 1]),
    ),
    st.tuples(st.just("send"), number, st.just(1), st.just({"key": True})),
    st.tuples(st.just("mute")),
    st.builds(lambda kinds: ("mute", *sorted(kinds)), st.sets(st.sampled_from(["audio", "video"]))),
    st.tuples(st.just("send_again"), number, st.integers(-1, 8)),
    st.tuples(st.just("raw"), st.binary(max_size=40)),
    st.tuples(st.just("raw"), st.binary(min_size=30, max_size=60).map(lambda data: b"\x80\x60" + data)),
    st.tuples(st.just("burst"), number, st.sampled_from([3, 10, 70])),
    st.tuples(st.just("add"), number, number),
    st.tuples(st.just("add"), number, number),
    st.tuples(st.just("remove"), number, number),
    st.tuples(st.just("leave"), number),
    st.tuples(st.just("miss"), number, number, st.integers(0, 100)),
    st.tuples(st.just("report"), number),
    st.tuples(st.just("turn"), st.sampled_from([0.001, 0.015, 0.03, 0.2])),
)


MUTED = [
    *[("add", 0, 0), ("add", 0, 1), ("burst", 0, 10), ("send", 1, 1, {"key": True}), ("burst", 1, 70), ("turn", 0.01)],
    *[("mute", "audio", "video"), ("burst", 0, 20), ("burst", 1, 20), ("turn", 0.01)],
    *[("mute",), ("burst", 0, 10), ("burst", 1, 10), ("turn", 0.01)],
    *[("send", 1, 1, {"key": True}), ("burst", 1, 70), ("turn", 0.01), ("miss", 0, 1, 5), ("miss", 0, 1, 71), ("miss", 0, 1, 95)],
]


ALLOWANCES = [UNLIMITED, Allowance.of(40, 10_000_000), Allowance.of(10_000, 40_000)]


@given(allowance=st.sampled_from(ALLOWANCES), first=st.sampled_from([0, 1000, 0x7FFE, 0xFFF0, 0xFFFF]), steps=st.lists(STEPS, max_size=60))
@example(
    first=0xFFF0,
    steps=[("add", 0, 1), ("burst", 1, 70), ("turn", 0.01), ("burst", 1, 70), ("turn", 0.01), ("miss", 0, 1, 30)],
    allowance=UNLIMITED,
)
@example(
    first=3,
    steps=[("add", 0, 1), ("burst", 1, 70), ("turn", 0.01), ("burst", 1, 70), ("turn", 0.2), ("burst", 1, 9)],
    allowance=ALLOWANCES[1],
)
@example(
    first=5,
    steps=[("add", 0, 0), ("add", 0, 1), ("send", 0, 1), ("send", 1, 1), ("turn", 0.01)]
    + [("send", track, 1, {"extension": block, "csrcs": 2}) for track in range(2) for block in range(len(BLOCKS))],
    allowance=UNLIMITED,
)
@example(first=0xFFF0, steps=MUTED, allowance=UNLIMITED)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_engines_send_the_same_bytes(first, steps, allowance):
    """Whatever is lost, repeated, forged or comes out of order, and whoever comes and goes meanwhile."""
    story = Story([], first)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        numbers = SimpleNamespace(
            randbelow=lambda limit: limit - 1, randbits=lambda bits: (1 << bits) - 5, token_hex=lambda size: "ab" * size
        )
        for module in (subscription, publication):
            patch.setattr(module, "secrets", numbers)
        for name in ("python", "native"):
            world = World(stack.enter_context(engine(name, story.clock, allowance)))
            stack.callback(world.close)
            story.worlds.append(world)
        for verb, *arguments in (*steps, ("turn", 0.01)):
            shape = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
            getattr(story, verb)(*arguments, **shape)

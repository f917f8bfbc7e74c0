"""Publishers and subscribers with real ICE and DTLS-SRTP, whose media is made and counted as cheaply as Python can."""

import asyncio
import contextlib
import heapq
import os
import random
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import aioice.ice
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket
from aiortc.sdp import SessionDescription

HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
_FRAMES_A_SECOND = 30
_PACKETS_A_FRAME = 8
_PACKET = 1080
"""Bytes of a full video packet's payload; the last of a frame is shorter."""
_BURST = 3
_BURST_GAP = 0.004
"""Seconds between bursts of one frame, as a browser's pacer leaves them."""
_AUDIO = 80
_AUDIO_INTERVAL = 0.02
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_SINK_INTERVAL = 0.004
"""Seconds between two looks at all sinks: nobody is woken up for each packet, at the sender's cost."""


def use_address(address: str) -> None:
    """Have all clients live at one address."""
    aioice.ice.get_host_addresses = lambda *_, **__: [address]


CERTIFICATE = RTCCertificate.generateCertificate()
FINGERPRINT = next(found.value for found in CERTIFICATE.getFingerprints() if found.algorithm == "sha-256")


class Connection:
    """One peer connection of a client: ICE and DTLS only."""

    def __init__(self) -> None:
        self._gatherer = RTCIceGatherer(iceServers=[])
        self._ice = RTCIceTransport(self._gatherer)
        self.dtls = RTCDtlsTransport(self._ice, [CERTIFICATE])
        self.socket: socket.socket
        self.remote: tuple[str, int]

    async def lines(self, setup: str) -> str:
        """Return what an m-line says of the transport."""
        await self._gatherer.gather()
        own, (candidate, *_) = self._gatherer.getLocalParameters(), self._gatherer.getLocalCandidates()
        return (
            f"c=IN IP4 {candidate.ip}\r\na=rtcp-mux\r\na=ice-ufrag:{own.usernameFragment}\r\na=ice-pwd:{own.password}\r\n"
            f"a=fingerprint:sha-256 {FINGERPRINT}\r\na=setup:{setup}\r\n"
            f"a=candidate:1 1 udp 2130706431 {candidate.ip} {candidate.port} typ host\r\n"
        )

    async def connect(self, sdp: str, *, answerer: bool) -> None:
        """Connect to what the other side's SDP says."""
        media = SessionDescription.parse(sdp).media[0]
        lite = "a=ice-lite" in sdp
        self._ice._connection.ice_controlling = lite or not answerer
        for candidate in media.ice_candidates:
            await self._ice.addRemoteCandidate(candidate)
        await self._ice.addRemoteCandidate(None)
        media.ice.iceLite = lite
        await self._ice.start(media.ice)
        self.dtls._set_role("server" if media.dtls.role == "client" else "client")
        await self.dtls.start(media.dtls)
        if self.dtls.state != "connected":
            raise RuntimeError(f"DTLS is {self.dtls.state}")
        pair = self._ice._connection._nominated[1]
        self._protocol, self.remote = pair.protocol, pair.remote_addr
        self.socket = socket.socket(fileno=os.dup(self._protocol.transport.get_extra_info("socket").fileno()))
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """End it, without waiting for the other side."""
        self.socket.close()
        await self.dtls.stop()
        await self._ice.stop()

    def take_over(self) -> None:
        """Read the socket by hand from now on; what is no media goes to ICE and DTLS by :meth:`hand_on`."""
        self._loop._remove_reader(self._protocol.transport.get_extra_info("socket").fileno())

    def hand_on(self, data: bytes, address: tuple[str, int]) -> None:
        """Let ICE and DTLS have a datagram."""
        self._loop.call_soon_threadsafe(self._protocol.datagram_received, data, address)


def section(kind: str, mid: int, transport: str, ssrc: int) -> str:
    """Return an m-line that publishes."""
    codec, extra = ("111", "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n")
    if kind == "video":
        codec, extra = "96", "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 ccm fir\r\n"
    head = f"m={kind} 9 UDP/TLS/RTP/SAVPF {codec}\r\n{transport}a=mid:{mid}\r\na=sendonly\r\na=msid:s {kind}\r\n"
    return f"{head}{extra}a=ssrc:{ssrc} cname:x\r\n"


def answer_to(offer: str, transport: str) -> str:
    """Accept everything that an offer offers."""
    kept = ("m=", "a=mid:", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=extmap:")
    lines = [line for line in offer.splitlines() if line.startswith((*kept, "a=group:"))]
    sdp = HEAD
    for line in lines:
        sdp += line + "\r\n"
        if line.startswith("m="):
            sdp += transport + "a=recvonly\r\n"
    return re.sub(r"m=(\w+) \d+ ", r"m=\1 9 ", sdp)


@dataclass(slots=True)
class Source:
    """A stream that is being sent."""

    ssrc: int = field(default_factory=lambda: random.getrandbits(32))
    sequence: int = field(default_factory=lambda: random.getrandbits(14))
    timestamp: int = field(default_factory=lambda: random.getrandbits(31))


class Publisher(Connection):
    """Sends sound, and a picture if it has one."""

    def __init__(self, *, video: bool) -> None:
        super().__init__()
        self.audio = Source()
        self.video = Source() if video else None
        self.sent = 0

    async def offer(self) -> str:
        """Return the offer."""
        transport = await self.lines("actpass")
        kinds = [("audio", self.audio)] + ([("video", self.video)] if self.video is not None else [])
        mids = " ".join(str(mid) for mid in range(len(kinds)))
        sections = (section(kind, mid, transport, source.ssrc) for mid, (kind, source) in enumerate(kinds))
        return HEAD + f"a=group:BUNDLE {mids}\r\na=msid-semantic: WMS s\r\n" + "".join(sections)

    def send(self, source: Source, first: int, body: bytes) -> None:
        """Send a packet that carries the time of sending in its last 8 bytes."""
        source.sequence = (source.sequence + 1) & 0xFFFF
        header = struct.pack("!BBHII", 0x80, first, source.sequence, source.timestamp & 0xFFFFFFFF, source.ssrc)
        sealed = self.dtls._tx_srtp.protect(header + body + struct.pack("!Q", time.time_ns()))
        with contextlib.suppress(BlockingIOError):
            self.socket.sendto(sealed, self.remote)
        self.sent += 1


class Player:
    """Plays all publishers from one thread."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lock = threading.Lock()
        self._picture = os.urandom(_PACKET)
        self._thread.start()

    def add(self, publisher: Publisher) -> None:
        """Play one more; each has a phase of its own."""
        start = time.monotonic() + random.random() / _FRAMES_A_SECOND
        self._at(start, lambda at: self._sound(publisher, at))
        if publisher.video is not None:
            self._at(start, lambda at: self._frame(publisher, at))

    def stop(self) -> None:
        """End."""
        self._stopped = True
        self._thread.join()

    def _at(self, when: float, what: Callable[[float], None]) -> None:
        with self._lock:
            self._count += 1
            heapq.heappush(self._due, (when, self._count, what))

    def _sound(self, publisher: Publisher, at: float) -> None:
        publisher.audio.timestamp += 960
        publisher.send(publisher.audio, 111, b"\xfc" + self._picture[:_AUDIO])
        self._at(at + _AUDIO_INTERVAL, lambda at: self._sound(publisher, at))

    def _frame(self, publisher: Publisher, at: float) -> None:
        assert publisher.video is not None
        publisher.video.timestamp += 90000 // _FRAMES_A_SECOND
        for first in range(0, _PACKETS_A_FRAME, _BURST):
            numbers = range(first, min(first + _BURST, _PACKETS_A_FRAME))
            self._at(at + first // _BURST * _BURST_GAP, lambda _, numbers=numbers: self._burst(publisher, numbers))
        self._at(at + 1 / _FRAMES_A_SECOND, lambda at: self._frame(publisher, at))

    def _burst(self, publisher: Publisher, numbers: range) -> None:
        assert publisher.video is not None
        for number in numbers:
            last = number == _PACKETS_A_FRAME - 1
            # The first byte of a VP8 payload descriptor, and the header of a frame.
            body = (b"\x10\x01" if number == 0 else b"\x00\x01") + self._picture[: 700 if last else _PACKET]
            publisher.send(publisher.video, 96 | last << 7, body)

    def _run(self) -> None:
        while not self._stopped:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                with self._lock:
                    at, _, what = heapq.heappop(self._due)
                what(at)
            time.sleep(max(0.0003, min(0.005, self._due[0][0] - time.monotonic())) if self._due else 0.005)


@dataclass(slots=True)
class Tally:
    """Of one stream at one subscriber."""

    first: int
    highest: int
    count: int = 1


class Subscriber(Connection):
    """Counts what comes, and does not decrypt it."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[bytes, Tally] = {}

    def begin(self) -> None:
        """Take the socket over."""
        self.take_over()
        with contextlib.suppress(PermissionError):
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        self.socket.setblocking(False)

    def drain(self, buffer: memoryview) -> None:
        """Count what waits."""
        receive, streams = self.socket.recvfrom_into, self.streams
        with contextlib.suppress(BlockingIOError):
            while True:
                length, address = receive(buffer)
                if not 128 <= buffer[0] < 192:
                    self.hand_on(bytes(buffer[:length]), address)
                elif not 192 <= buffer[1] < 224:
                    ssrc, sequence = bytes(buffer[8:12]), buffer[2] << 8 | buffer[3]
                    tally = streams.get(ssrc)
                    if tally is None:
                        streams[ssrc] = Tally(sequence, sequence)
                        continue
                    tally.count += 1
                    ahead = (sequence - tally.highest) & 0xFFFF
                    if ahead < 0x8000:
                        tally.highest += ahead

    async def report(self) -> None:
        """Send a receiver report on all streams."""
        infos = [
            RtcpReceiverInfo(int.from_bytes(ssrc, "big"), 0, 0, tally.highest & 0xFFFFFFFF, 0, 0, 0)
            for ssrc, tally in list(self.streams.items())[:31]
        ]
        with contextlib.suppress(ConnectionError):
            await self.dtls._send_rtp(bytes(RtcpRrPacket(ssrc=1, reports=infos)))


class Probe(Connection):
    """A subscriber who decrypts, and learns how long packets took: from the publisher's send to the arrival in its socket."""

    def __init__(self) -> None:
        super().__init__()
        self.latencies: list[float] = []
        self._stopped = False

    def begin(self) -> None:
        """Take the socket over."""
        self.take_over()
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._stopped = True

    def _run(self) -> None:
        while not self._stopped:
            if not select.select([self.socket], [], [], 0.2)[0]:
                continue
            data, ancillary, _, address = self.socket.recvmsg(2048, 256)
            if not 128 <= data[0] < 192:
                self.hand_on(data, address)
            elif not 192 <= data[1] < 224 and ancillary:
                seconds, nanoseconds = struct.unpack_from("qq", ancillary[0][2])
                packet = self.dtls._rx_srtp.unprotect(data)
                sent = int.from_bytes(packet[-8:], "big")
                self.latencies.append((seconds * 1_000_000_000 + nanoseconds - sent) / 1e9)


class Sinks:
    """Looks at all subscribers from one thread."""

    def __init__(self) -> None:
        self.all: list[Subscriber] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        buffer = memoryview(bytearray(4096))
        while not self._stopped:
            time.sleep(_SINK_INTERVAL)
            for one in list(self.all):
                one.drain(buffer)

    def stop(self) -> None:
        """End."""
        self._stopped = True
        self._thread.join()

    def counted(self) -> tuple[int, int]:
        """Return how many packets came, and how many should have."""
        tallies: Iterable[Tally] = [tally for one in self.all for tally in list(one.streams.values())]
        return sum(tally.count for tally in tallies), sum(tally.highest - tally.first + 1 for tally in tallies)

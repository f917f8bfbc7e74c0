"""The data channel: a removed client is told over it when its media has stopped, and what it says of SCTP hurts nobody else."""

import asyncio
import re
import struct

import pytest
from google_crc32c import value as crc32c

from services.edge_gateway.media.channel import DataChannel, _Guarded
from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.interface import Said

PATIENCE = 10.0
NOTICE = '{"type":"ended"}'
WORD = '{"type":"ended_ack"}'


class Ear:
    """A client's end of the channel."""

    def __init__(self, connection, *, answers=True) -> None:
        self.heard = asyncio.Queue()
        self.open = asyncio.Event()
        self.channel = connection.createDataChannel("", negotiated=True, id=0)
        self.channel.on("open", self.open.set)
        self._answers = answers

        @self.channel.on("message")
        def on_message(text) -> None:
            self.heard.put_nowait(text)
            if self._answers:
                self.channel.send(WORD)


async def listening(room, session="bob", **options):
    """Have somebody receive ann's picture, with an open channel."""
    _, tracks = await room.publish("ann", room.picture(200))
    connection, received = await room.subscribe(session, *tracks.values())
    ear = Ear(connection, **options)
    if ear.channel.readyState != "open":
        await asyncio.wait_for(ear.open.wait(), PATIENCE)
    await room.frame_of(received[tracks["video"]])
    while isinstance(room.engine, UdpMediaEngine) and not room.engine._subscribers[session].peer.can_tell:
        await asyncio.sleep(0.01)
    return ear


@pytest.mark.parametrize("room", ["here", "worker"], indirect=True)
async def test_a_client_is_told_and_says_so(room):
    """Its media has stopped by then; its word comes back, and the connection ends with it."""
    said = asyncio.Queue()
    room.engine._on_said = said.put_nowait
    ear = await listening(room)
    stopped = await room.engine.stop("bob", "nobody", notice=NOTICE)
    assert stopped.told == {"bob"}
    assert await asyncio.wait_for(ear.heard.get(), PATIENCE) == NOTICE
    assert await asyncio.wait_for(said.get(), PATIENCE) == Said("bob", WORD)


async def test_nothing_but_the_notice_comes_after_the_stop(room, wire):
    """No packet of media leaves for who is told: SCTP over DTLS, answers to checks, and then DTLS's good-bye."""
    ear = await listening(room)
    await room.engine.stop("bob", notice=NOTICE)
    wire.collect()
    wire.clear()
    await asyncio.wait_for(ear.heard.get(), PATIENCE)
    await wire.until(lambda _port, data: data[0] == 21)
    ours = {port for port, data in wire if data[0] == 21}
    assert {data[0] >= 128 for port, data in wire if port in ours} == {False}


async def test_who_says_nothing_is_hung_up_on(room, monkeypatch):
    """After a while, and at once where the engine ends."""
    monkeypatch.setattr("services.edge_gateway.media.engine._GOODBYE_SECONDS", 0.1)
    said = []
    room.engine._on_said = said.append
    ear = await listening(room, answers=False)
    (goodbye_to,) = [user.peer for user in room.engine._subscribers.values()]
    await room.engine.stop("bob", notice=NOTICE)
    await asyncio.wait_for(ear.heard.get(), PATIENCE)
    (goodbye,) = room.engine._goodbyes
    await asyncio.wait_for(goodbye, PATIENCE)
    assert said == []
    assert goodbye_to.link.address is None
    assert room.engine._mux.ice._peers.keys() == {room.engine._publications["ann"].peer.credentials.ufrag}


async def test_without_a_notice_there_is_none(room):
    """A session that moves elsewhere, or leaves, is no news to its client."""
    ear = await listening(room)
    assert (await room.engine.stop("bob")).told == frozenset()
    assert room.engine._goodbyes == set()
    assert ear.heard.empty()


async def test_a_client_without_a_channel_is_not_told_so(room):
    """It rejects the m-line, and has everything else."""
    _, tracks = await room.publish("ann", room.picture(200))
    answer = room.engine.answer

    async def reject(session, number, sdp):
        rejected, count = re.subn("m=application [0-9]+", "m=application 0", sdp)
        assert count == 1
        await answer(session, number, rejected)

    room.engine.answer = reject
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    assert (await room.engine.stop("bob", notice=NOTICE)).told == frozenset()


class Dtls:
    """A connected transport that remembers what is sent over it."""

    state = "connected"
    _role = "server"

    def __init__(self) -> None:
        self.sent = []
        self.receiver = None

    def _register_data_receiver(self, receiver) -> None:
        self.receiver = receiver

    def _unregister_data_receiver(self, _) -> None:
        self.receiver = None

    async def _send_data(self, data) -> None:
        self.sent.append(data)

    async def hears(self, packet) -> None:
        """Take a packet of the client, with its checksum."""
        if self.receiver is not None:
            whole = packet[:8] + bytes(4) + packet[12:]
            await self.receiver._handle_data(packet[:8] + struct.pack("<L", crc32c(whole)) + packet[12:])


def packet(kind, body, tag=0):
    """Write a packet of one chunk."""
    return struct.pack("!HHLL", 5000, 5000, tag, 0) + struct.pack("!BBH", kind, 0, len(body) + 4) + body


async def test_what_keeps_a_parser_busy_for_ever_does_not_reach_it():
    """A parameter of no length; it would never come back."""
    dtls = Dtls()
    channel = DataChannel(dtls, 5000)
    await channel.start()
    before = len(dtls.sent)
    await dtls.hears(packet(1, struct.pack("!LLHHL", 1, 1, 1, 1, 1) + struct.pack("!HH", 1, 0)))
    assert len(dtls.sent) == before
    await dtls.hears(packet(1, struct.pack("!LLHHL", 1, 1, 1, 1, 1)))
    assert len(dtls.sent) == before + 1
    await channel.close()


async def test_a_bug_in_it_ends_the_channel_only(monkeypatch):
    """DTLS goes on, and the channel is not open."""
    dtls = Dtls()
    channel = DataChannel(dtls, 5000)
    await channel.start()

    async def fail(_data):
        raise ZeroDivisionError

    monkeypatch.setattr(channel._sctp, "_handle_data", fail)
    await dtls.hears(packet(11, b""))
    await channel._ending
    assert dtls.receiver is None
    assert not channel.is_open


async def test_floods_are_not_read():
    """So many packets at once, then so many a second."""
    read = []

    class Receiver:
        async def _handle_data(self, data) -> None:
            read.append(data)

    dtls = Dtls()
    _Guarded(dtls, lambda: None)._register_data_receiver(Receiver())
    for _ in range(500):
        await dtls.hears(packet(11, b""))
    assert 64 <= len(read) <= 70

"""Sockets of browsers that do not behave: that stop reading, vanish, flood, or do not speak the protocol. By hand, on real TCP."""

import asyncio
import base64
import contextlib
import json
import os
import socket as sockets
import struct

import pytest

from services.edge_gateway import signalling
from shared import http_server, service
from shared.contracts.commands import Verb
from shared.contracts.errors import RefusalCode
from shared.contracts.replies import Refusal
from shared.http_server import WebSocketProtocol
from tests.edge_gateway.conftest import APP, gateway_running, usersig

TEXT, BINARY, CONT, CLOSE, PING = 1, 2, 0, 8, 9


def frame(opcode, data=b"", *, fin=True):
    """One frame of a client, masked with zeros."""
    size = len(data)
    length = bytes([128 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size) if size < 65536 else b"\xff" + struct.pack("!Q", size)
    return bytes([(128 if fin else 0) | opcode]) + length + bytes(4) + data


def close_frame(code):
    return frame(CLOSE, struct.pack("!H", code))


class RawBrowser:
    """A WebSocket without a library."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def send(self, data):
        self.writer.write(data)

    def say(self, **message):
        self.send(frame(TEXT, json.dumps(message).encode()))

    async def next(self):
        """The next frame: its opcode and its data."""
        first, length = await self.reader.readexactly(2)
        if length >= 126:
            width = 2 if length == 126 else 8
            length = int.from_bytes(await self.reader.readexactly(width), "big")
        return first & 15, await self.reader.readexactly(length)

    async def closed(self):
        """Read to the end; the code of the close frame, or None where there was none."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                opcode, data = await self.next()
                if opcode == CLOSE:
                    return struct.unpack("!H", data[:2])[0]
        return None


@contextlib.asynccontextmanager
async def raw(gateway):
    host, port = gateway.service.address
    connection = sockets.socket()
    # Small buffers: what is not read is noticed early.
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 8192)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=8192)
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET /v1/signal HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    writer.write(f"{head}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    try:
        yield RawBrowser(reader, writer)
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def joined_raw(gateway, user="raw"):
    async with raw(gateway) as browser:
        browser.say(type="join", id=1, protocol=1, app=APP, user=user, sig=usersig(user), room=1, mode="rtc")
        _, reply = await browser.next()
        browser.session = json.loads(reply)["result"]["session"]
        yield browser


class Watch:
    """What happens to the gateway's ends of the sockets, as events."""

    def __init__(self):
        self.protocols = []
        self.most_written = 0
        self.paused = asyncio.Event()
        self.lost = asyncio.Event()


@pytest.fixture
def watch(monkeypatch):
    seen = Watch()

    def watched(name, event):
        original = getattr(WebSocketProtocol, name)

        def method(self, *arguments):
            original(self, *arguments)
            event(self)

        monkeypatch.setattr(WebSocketProtocol, name, method)

    def measure(protocol):
        seen.most_written = max(seen.most_written, protocol.transport.get_write_buffer_size())

    watched("connection_made", seen.protocols.append)
    watched("handle_ping", measure)
    watched("pause_writing", lambda _protocol: seen.paused.set())
    watched("connection_lost", lambda _protocol: seen.lost.set())
    return seen


@contextlib.asynccontextmanager
async def stalled(gateway, browser, watch, *, overflow):
    """The gateway has sent to a browser that does not read, until nothing went out any more, or until its queue was full."""
    gateway.media.sdp = "v=0" + "x" * 60_000
    async with gateway.joined("ann") as ann:
        stream = (await ann.request("publish", kind="main", sdp="v=0"))["stream"]
        number = 1
        async with asyncio.timeout(30):
            while not watch.paused.is_set():
                assert not watch.lost.is_set()
                number += 1
                browser.say(type="subscribe", id=number, stream=stream, audio=True, video=True)
                # Slower than the limit on messages.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(watch.paused.wait(), 0.025)
        for more in range(30 if overflow else 0):
            browser.say(type="subscribe", id=number + more + 1, stream=stream, audio=True, video=True)
        yield


async def next_leave(registry, browser):
    async with asyncio.timeout(10):
        while (left := await registry.next(Verb.LEAVE))["session"] != browser.session:
            pass
    return left["reason"]


async def test_a_browser_that_stops_reading_is_cut(gateway, registry, watch, monkeypatch):
    """Though its TCP lives: its session gets the grace, and its connection is aborted."""
    monkeypatch.setattr(http_server, "CLOSE_SECONDS", 0.2)
    async with joined_raw(gateway) as browser, stalled(gateway, browser, watch, overflow=True):
        assert await next_leave(registry, browser) == "timed_out"
        await asyncio.wait_for(watch.lost.wait(), 5)


async def test_a_browser_that_was_too_slow_hears_so(gateway, registry, watch):
    """4409 waits behind what is on its way already, for a browser that reads again."""
    async with joined_raw(gateway) as browser, stalled(gateway, browser, watch, overflow=True):
        assert await next_leave(registry, browser) == "timed_out"
        assert await asyncio.wait_for(browser.closed(), 5) == 4409


async def test_a_browser_whose_network_is_gone_is_cut(gateway_settings, registry, watch, monkeypatch):
    """Nothing goes out, no pong comes in: neither the close frame nor its sending is waited for."""
    # Long enough for the kernel's buffers to fill before.
    monkeypatch.setattr(service, "PING_SECONDS", 4.0)
    monkeypatch.setattr(http_server, "CLOSE_SECONDS", 0.2)
    async with (
        gateway_running(gateway_settings) as gateway,
        joined_raw(gateway) as browser,
        stalled(gateway, browser, watch, overflow=False),
    ):
        await asyncio.wait_for(watch.lost.wait(), 30)
        assert await next_leave(registry, browser) == "timed_out"


async def test_no_pong_is_closed_with_1011(gateway_settings, registry, monkeypatch):
    """And has the grace: the browser may be on another network already."""
    monkeypatch.setattr(service, "PING_SECONDS", 0.1)
    async with gateway_running(gateway_settings) as gateway, joined_raw(gateway) as browser:
        assert await asyncio.wait_for(browser.closed(), 5) == 1011
        assert await next_leave(registry, browser) == "timed_out"


async def test_a_flood_of_pings_is_cut_off(gateway):
    """Before any join, too."""
    async with raw(gateway) as browser:
        browser.send(frame(PING) * 250)
        assert await asyncio.wait_for(browser.closed(), 5) == 1008


async def test_pongs_that_nobody_reads_are_not_kept(gateway, watch, monkeypatch):
    """However slowly the pings come: what is written is bounded."""
    monkeypatch.setattr(http_server, "FRAME_BURST", 10**9)
    async with raw(gateway) as browser:
        pings = frame(PING, b"x" * 125) * 500
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                while not watch.lost.is_set():
                    browser.send(pings)
                    await browser.writer.drain()
                    await asyncio.sleep(0)
        # The bound, and the answers to what was read at once.
        assert watch.lost.is_set()
        assert watch.most_written <= 2 * http_server.MAX_WRITE_BUFFER_BYTES


async def test_a_flood_of_continuations_is_cut_off(gateway):
    """They are no messages, but cost as much."""
    async with raw(gateway) as browser:
        browser.send(frame(TEXT, b"{", fin=False) + frame(CONT, b" ", fin=False) * 250)
        assert await asyncio.wait_for(browser.closed(), 5) == 1008


async def test_empty_continuations_are_not_kept(gateway, watch):
    """A message may be in parts; parts of nothing are none."""
    async with raw(gateway) as browser:
        browser.send(frame(TEXT, b'{"type": "leave",', fin=False) + frame(CONT, fin=False) * 100 + frame(PING, b"here"))
        assert await browser.next() == (10, b"here")
        assert len(watch.protocols[-1].frames) == 1
        browser.send(frame(CONT, b'"id": 1}'))
        assert await asyncio.wait_for(browser.closed(), 5) == 4400


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"x" * 70_000), 1009),
        (frame(TEXT, b"\xff"), 1007),
        (frame(3), 1002),
        (close_frame(999), 1002),
        (frame(BINARY, b"x"), 4400),
        (frame(PING) * 250, 1008),
    ],
    ids=["too large", "not UTF-8", "no such frame", "no such close code", "binary", "flood"],
)
async def test_who_breaks_the_protocol_has_left(gateway_settings, registry, sent, code):
    """There is no grace for that."""
    async with gateway_running(gateway_settings.model_copy(update={"reconnect_grace": 60})) as gateway, joined_raw(gateway) as browser:
        browser.send(sent)
        assert await asyncio.wait_for(browser.closed(), 5) == code
        assert await next_leave(registry, browser) == "left"


@pytest.mark.parametrize("sent", [frame(CLOSE), close_frame(1000), close_frame(1001), close_frame(4000)])
async def test_a_close_frame_is_a_leave(gateway_settings, registry, sent):
    """Also without a code, as a page's plain ``close()`` sends it."""
    async with gateway_running(gateway_settings.model_copy(update={"reconnect_grace": 60})) as gateway, joined_raw(gateway) as browser:
        browser.send(sent)
        assert await next_leave(registry, browser) == "left"


@pytest.mark.parametrize("end", ["reset", "end of stream", "1011"])
async def test_a_lost_socket_has_the_grace(gateway, registry, end):
    """No close frame, or one that says that no pong came."""
    async with joined_raw(gateway) as browser:
        if end == "reset":
            browser.writer.transport.abort()
        elif end == "end of stream":
            browser.writer.write_eof()
        else:
            browser.send(close_frame(1011))
        assert await next_leave(registry, browser) == "timed_out"


async def test_what_is_costly_takes_turns(gateway, monkeypatch):
    """Nothing is refused, and no client makes the gateway work without pause."""
    monkeypatch.setattr(signalling, "TURN_BURST", 4)
    monkeypatch.setattr(signalling, "TURNS_PER_SECOND", 10)
    async with gateway.joined("ann") as ann:
        began = asyncio.get_running_loop().time()
        for _ in range(4):
            stream = (await ann.request("publish", kind="main", sdp="v=0"))["stream"]
            await ann.request("unpublish", stream=stream)
        assert asyncio.get_running_loop().time() - began >= 0.35


async def test_answers_take_turns(gateway, monkeypatch):
    """They have an SDP in them, too."""
    monkeypatch.setattr(signalling, "TURN_BURST", 1)
    monkeypatch.setattr(signalling, "TURNS_PER_SECOND", 5)
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = (await ann.request("publish", kind="main", sdp="v=0"))["stream"]
        await bob.expect("stream_added")
        began = asyncio.get_running_loop().time()
        for number in (1, 2):
            await bob.request("subscribe", stream=stream, audio=True, video=True)
            await bob.send({"type": "answer", "number": number, "sdp": "v=0"})
        await bob.request("unsubscribe", stream=stream)
        assert asyncio.get_running_loop().time() - began >= 0.15


async def test_of_two_leaves_each_is_answered(gateway, registry):
    """The second says that the session is leaving already."""
    answer, decided = registry._answer, asyncio.Event()

    async def wait_with_leaves(message):
        if message.subject.endswith(".leave"):
            await decided.wait()
        await answer(message)

    registry.answer_with(wait_with_leaves)
    async with joined_raw(gateway) as browser:
        browser.say(type="leave", id=2)
        browser.say(type="leave", id=3)
        refusal = json.loads((await browser.next())[1])
        assert (refusal["id"], refusal["error"]["code"]) == (3, "invalid_state")
        decided.set()
        assert json.loads((await browser.next())[1]) == {"type": "reply", "id": 2, "result": {}}
        assert await browser.closed() == 1000


async def test_what_the_registry_refuses_for_now_may_be_tried_again(gateway, registry):
    """As docs/protocol.md says of ``unavailable``."""

    async def refuse(message):
        await message.respond(Refusal(code=RefusalCode.NOT_OWNER, message="which one?").to_bytes())

    registry.answer_with(refuse)
    async with raw(gateway) as browser:
        browser.say(type="join", id=1, protocol=1, app=APP, user="ann", sig=usersig("ann"), room=1, mode="rtc")
        error = json.loads((await browser.next())[1])["error"]
        assert (error["code"], error["retry"]) == ("unavailable", True)
        registry.answer_with(registry._answer)


async def test_where_there_is_room_nothing_waits_for_its_turn(gateway, registry, monkeypatch):
    """Messages are written when they are sent; only the ends of the connection go the long way."""
    sent, send = [], WebSocketProtocol.send

    async def watched(self, message):
        sent.append(message["type"])
        await send(self, message)

    monkeypatch.setattr(WebSocketProtocol, "send", watched)
    async with gateway.joined("ann") as ann:
        await ann.leave()
        await ann.closed()
    assert sent == ["websocket.accept", "websocket.close"]

"""ICE-TCP: media over connections that clients open, where UDP is blocked."""

import asyncio
import contextlib
import socket

import pytest
from aioice import stun

from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.settings import MediaSettings
from services.edge_gateway.media.tcp import TcpConnection
from shared.contracts.errors import ConfigurationError
from tests.edge_gateway.media.bridge import Bridge, frame, read_frame
from tests.support.ice import check, ice_credentials

BRIGHT = 200
PATIENCE = 10.0
MEDIA = range(128, 192)
DTLS = range(20, 64)


@contextlib.asynccontextmanager
async def connected(room):
    """Open a connection to the gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", room.engine.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answered(reader, writer, datagram: bytes) -> stun.Message:
    """Send a check and wait for its answer."""
    writer.write(frame(datagram))
    async with asyncio.timeout(PATIENCE):
        while (data := await read_frame(reader))[0] > 3:
            pass
    return stun.parse_message(data)


async def ended(reader) -> None:
    """Wait until the gateway has ended a connection."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass


async def until(condition) -> None:
    """Wait for what the other end of a socket brings about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def of(engine: UdpMediaEngine) -> list[TcpConnection]:
    """List the connections that there are."""
    return list(engine._tcp._connections)


async def test_pictures_pass_over_tcp_alone(room):
    """Publisher and subscriber: every datagram of both goes over a connection, and the gateway sends nothing by UDP."""
    async with Bridge.to(room.engine.port) as bridge:
        room.over = bridge.over
        _, tracks = await room.publish("ann", room.picture(BRIGHT))
        _, received = await room.subscribe("bob", tracks["video"])
        for _ in range(20):
            await room.frame_of(received[tracks["video"]])
        routes = room.engine._mux._routes
        assert len(routes) == 2
        assert all(isinstance(address, TcpConnection) for address in routes)


async def test_who_is_removed_gets_nothing_more_and_loses_the_connection(room, monkeypatch):
    """What leaves after the stop is DTLS's good-bye at most, then it is the end; the others' connections go on."""
    async with Bridge.to(room.engine.port) as bridge:
        room.over = bridge.over
        _, tracks = await room.publish("ann", room.picture(BRIGHT))
        await room.subscribe("bob", tracks["video"])
        await until(lambda: sum(bool(first) and first[0] in MEDIA for first in bridge.down) > 20)
        (bobs,) = [address for address, route in room.engine._mux._routes.items() if route is room.engine._subscribers["bob"].peer]
        sent, send = [], TcpConnection.send
        monkeypatch.setattr(TcpConnection, "send", lambda to, data: (sent.append((to, data[0])), send(to, data)))
        await room.engine.stop("bob")
        assert bobs._transport.is_closing()
        await until(lambda: b"" in bridge.down)
        await until(lambda: bobs not in of(room.engine))
        assert bobs not in room.engine._mux._routes
        assert {first for to, first in sent if to is bobs} <= set(DTLS)
        assert len(of(room.engine)) == 1


async def test_what_a_slow_client_has_not_taken_never_leaves(room):
    """Removed while packets wait for him: they are thrown away with the connection, in the process and in the kernel."""
    published, _ = await room.publish("ann", room.picture(BRIGHT))
    ufrag, password = ice_credentials(published.remoteDescription.sdp)
    peer = room.engine._publications["ann"].peer
    peer._nominated_udp = float("-inf")
    async with connected(room) as (reader, writer):
        await answered(reader, writer, check(ufrag, password, nominate=True))
        slow = peer.link.address
        assert isinstance(slow, TcpConnection)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader._transport.pause_reading()
        sent = arrived = 0
        while slow._transport.get_write_buffer_size() < 100_000:
            slow.send(bytes([128]) * 1200)
            sent += 1202
            await asyncio.sleep(0)
        await room.engine.stop("ann")
        assert slow._transport.is_closing()
        # Were it only closed, all of it would come now, and then the end.
        reader._transport.resume_reading()
        with pytest.raises(ConnectionResetError):
            while data := await reader.read(65536):
                arrived += len(data)
        assert arrived < sent - 100_000
        await until(lambda: not of(room.engine))


async def test_a_slow_reader_is_cut(room):
    """Media waits for nobody: what waits in the process has a bound, and who reaches it loses the connection."""
    async with connected(room) as (reader, writer):
        reader._transport.pause_reading()
        writer.write(frame(b"\x80"))
        await until(lambda: of(room.engine))
        (slow,) = of(room.engine)
        most = 0
        for _ in range(20_000):
            room.engine._mux.send(bytes(1200), slow)
            most = max(most, slow._transport.get_write_buffer_size())
        assert slow._transport.is_closing()
        assert 256 * 1024 <= most < 260 * 1024
        await until(lambda: not of(room.engine))


async def test_after_the_deadline_nothing_that_waits_leaves(room):
    """A gateway that is cut off goes silent: who reads slowly does not get the rest later."""
    async with connected(room) as (reader, writer), connected(room) as (_, other):
        reader._transport.pause_reading()
        for each in (writer, other):
            each.write(frame(b"\x80"))
        await until(lambda: len(of(room.engine)) == 2)
        (slow,) = [one for one in of(room.engine) if (one.host, one.port) == writer.get_extra_info("sockname")]
        while slow._transport.get_write_buffer_size() < 100_000:
            room.engine._mux.send(bytes(1200), slow)
            await asyncio.sleep(0)
        room.engine._tcp._tick()
        assert not slow._transport.is_closing()
        room.engine.allow_until(0.0)
        room.engine._tcp._tick()
        reader._transport.resume_reading()
        with pytest.raises(ConnectionResetError):
            while await reader.read(65536):
                pass
        assert len(of(room.engine)) == 1


async def test_frames_arrive_in_any_pieces(room):
    """TCP knows no datagrams: a check that comes byte by byte is answered, and so is one that came with half of the next."""
    published, _ = await room.publish("ann", room.picture(BRIGHT))
    known = ice_credentials(published.remoteDescription.sdp)
    async with connected(room) as (reader, writer):
        first, second = (frame(check(*known)) for _ in range(2))
        for byte in first[:-1]:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        for rest in (first[-1:] + frame(b"") + second[:10], second[10:]):
            writer.write(rest)
            response = stun.parse_message(await asyncio.wait_for(read_frame(reader), PATIENCE))
            assert response.attributes["XOR-MAPPED-ADDRESS"] == writer.get_extra_info("sockname")


async def test_a_frame_that_is_too_long_ends_the_connection(room):
    """It would have to be waited for, with memory."""
    async with connected(room) as (reader, writer):
        writer.write((2049).to_bytes(2, "big"))
        await ended(reader)
        await until(lambda: not of(room.engine))


async def test_only_who_knows_the_password_moves_a_session_to_tcp(room):
    """And not while UDP works: a browser checks all pairs, and means the best."""
    connection, tracks = await room.publish("ann", room.picture(BRIGHT))
    _, received = await room.subscribe("bob", tracks["video"])
    ufrag, password = ice_credentials(connection.remoteDescription.sdp)
    peer = room.engine._publications["ann"].peer
    where = peer.link.address
    async with connected(room) as (reader, writer):
        for forged in (
            check(ufrag, "not the password", nominate=True),
            check("unknown", password, nominate=True),
            b"\x80\x60" + bytes(30),
            b"\x16\xfe\xff" + bytes(30),
        ):
            writer.write(frame(forged))
        good = check(ufrag, password, nominate=True)
        assert (await answered(reader, writer, good)).transaction_id == good[8:20]
        assert peer.link.address == where
        await room.frame_of(received[tracks["video"]])
        peer._nominated_udp = float("-inf")
        await answered(reader, writer, check(ufrag, password))
        assert peer.link.address == where
        await answered(reader, writer, check(ufrag, password, nominate=True))
        assert isinstance(peer.link.address, TcpConnection)
        # A connection belongs to one who is alive; who else shows up there is not answered.
        routes = room.engine._mux
        assert not routes.claim(peer.link.address, room.engine._subscribers["bob"].peer, peer.heard)


@pytest.mark.parametrize("limits", [{"tcp_connections": 3}, {"tcp_connections_per_address": 3}])
async def test_connections_are_bounded(room, limits):
    """The oldest that nobody uses gives way; where all are in use, who comes is refused."""
    await room.engine.close()
    room.engine = await UdpMediaEngine.start(MediaSettings(host="127.0.0.1", port=0, **limits), room.on_offer)
    room.engine.allow_until(None)
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(3):
            published, _ = await room.publish(f"user{number}", room.picture(BRIGHT))
            peer = room.engine._publications[f"user{number}"].peer
            peer._nominated_udp = float("-inf")
            clients.append((*await stack.enter_async_context(connected(room)), peer, ice_credentials(published.remoteDescription.sdp)))
        await until(lambda: room.engine._tcp.count == 3)
        # All idle: the first gives way.
        first_reader = clients[0][0]
        newcomer, writer = await stack.enter_async_context(connected(room))
        await ended(first_reader)
        clients[0] = (newcomer, writer, *clients[0][2:])
        for reader, writer, peer, known in clients:
            await answered(reader, writer, check(*known, nominate=True))
            assert isinstance(peer.link.address, TcpConnection)
        refused, _ = await stack.enter_async_context(connected(room))
        await ended(refused)
        assert room.engine._tcp.count == 3
        for reader, writer, _, known in clients:
            await answered(reader, writer, check(*known, nominate=True))


async def test_idle_connections_are_closed(room):
    """One that nobody uses after 10 s, one in use after 30 s without an authentic check."""
    published, _ = await room.publish("ann", room.picture(BRIGHT))
    peer = room.engine._publications["ann"].peer
    async with connected(room) as (unused, _), connected(room) as (reader, writer):
        peer._nominated_udp = float("-inf")
        await answered(reader, writer, check(*ice_credentials(published.remoteDescription.sdp), nominate=True))
        await until(lambda: room.engine._tcp.count == 2)
        idle, used = sorted(of(room.engine), key=lambda one: one is peer.link.address)
        for one in (idle, used):
            one.used_at -= 9
        room.engine._tcp._tick()
        assert room.engine._tcp.count == 2
        idle.used_at -= 2
        used.used_at -= 100
        room.engine._tcp._tick()
        await ended(unused)
        assert of(room.engine) == [used]
        peer.heard -= 31
        room.engine._tcp._tick()
        await ended(reader)


async def test_without_tcp_there_is_no_candidate(room):
    """And nobody listens."""
    await room.engine.close()
    room.engine = await UdpMediaEngine.start(MediaSettings(host="127.0.0.1", port=0, tcp_connections=0), room.on_offer)
    published, _ = await room.publish("ann", room.picture(BRIGHT))
    assert "tcptype" not in published.remoteDescription.sdp
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", room.engine.port)


async def test_both_ip_versions_share_one_port(room):
    """UDP and TCP of IPv4 and IPv6: a client of each is answered where it is."""
    await room.engine.close()
    room.engine = await UdpMediaEngine.start(MediaSettings(host="127.0.0.1,::1", port=0), room.on_offer)
    published, _ = await room.publish("ann", room.picture(BRIGHT))
    sdp = published.remoteDescription.sdp
    offered = [line.split() for line in sdp.splitlines() if line.startswith("a=candidate")]
    assert [(each[2], each[4]) for each in offered] == [(kind, host) for kind in ("udp", "tcp") for host in ("127.0.0.1", "::1")]
    known = ice_credentials(sdp)
    loop = asyncio.get_running_loop()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect((host, room.engine.port))
            client.send(check(*known))
            response = stun.parse_message(await asyncio.wait_for(loop.sock_recv(client, 2048), PATIENCE))
            assert response.attributes["XOR-MAPPED-ADDRESS"] == client.getsockname()[:2]
        reader, writer = await asyncio.open_connection(host, room.engine.port)
        response = await answered(reader, writer, check(*known))
        assert response.attributes["XOR-MAPPED-ADDRESS"] == writer.get_extra_info("sockname")[:2]
        writer.close()


async def test_a_tcp_port_that_is_taken_is_named():
    """The operator reads which one it is."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"TCP 127.0.0.1 port {port}: Address already in use"):
            await UdpMediaEngine.start(MediaSettings(host="127.0.0.1", port=port), lambda _: None)

"""Whose a peer connection is, and where: who is followed, and who is not let in."""

import asyncio
import re
import socket

from aioice import stun
from aiortc.mediastreams import AudioStreamTrack

from services.edge_gateway.media.interface import TransportFailed
from tests.support.ice import address, check, ice_credentials, received_by, unsigned_check

BRIGHT = 200
PATIENCE = 10.0


async def test_a_forged_address_does_not_take_over(room, wire):
    """Only who knows a peer connection's password moves it, and not to an address where another one lives."""
    connection, tracks = await room.publish("ann", room.picture(BRIGHT))
    subscribing, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    credentials = ice_credentials(connection.remoteDescription.sdp)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        wire.clear()
        for datagram in (
            check(credentials[0], "not the password"),
            check("unknown", credentials[1]),
            unsigned_check(credentials[0]),
            b"\x80\x60" + bytes(30),
            b"\x16\xfe\xff" + bytes(30),
            b"",
        ):
            stranger.sendto(datagram, (wire.host, room.engine.port))
        # One that is authentic comes last: its answer shows that the others were seen, and had none.
        good = check(*credentials)
        stranger.sendto(good, (wire.host, room.engine.port))
        answer = await asyncio.wait_for(received_by(stranger), PATIENCE)
        assert stun.parse_message(answer).transaction_id == good[8:20]
        # It did not nominate, so media still comes from where it came from before.
        await room.frame_of(received[tracks["video"]])
        wire.collect()
        assert [data for port, data in wire if port == stranger.getsockname()[1]] == [answer]
    mux = room.engine._mux
    taken = wire.seen_from(address(subscribing))
    assert mux.ice.check(check(*credentials, nominate=True), taken, mux._routes[taken].heard) is None
    await room.frame_of(received[tracks["video"]])


async def test_a_client_that_moves_is_followed(room):
    """A nominating check from another address moves the connection there."""
    connection, tracks = await room.publish("ann", room.picture(BRIGHT))
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as moved:
        moved.bind(("127.0.0.1", 0))
        moved.sendto(check(*ice_credentials(connection.remoteDescription.sdp), nominate=True), ("127.0.0.1", room.engine.port))
        await asyncio.wait_for(received_by(moved), PATIENCE)
        # Each second a report goes to where the client is.
        assert (await asyncio.wait_for(received_by(moved), PATIENCE))[0] >= 128
        assert address(connection) not in room.engine._mux._routes


async def test_a_wrong_certificate_is_refused(room):
    """The client that comes must be the one whose fingerprint was in the SDP; otherwise the owner hears of it."""
    connection = room.connection()
    connection.addTransceiver(room.picture(BRIGHT), direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    wrong = re.sub(r"a=fingerprint:.*\r\n", "", connection.localDescription.sdp).replace(
        "a=setup", "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup"
    )
    published = await room.engine.publish("ann", wrong)
    await connection.setRemoteDescription(type(connection.localDescription)(published.sdp, "answer"))
    peer = room.engine._publications["ann"].peer
    await room.until(connection, "iceconnectionstatechange", lambda: connection.iceConnectionState == "completed")
    await asyncio.wait_for(peer._handshake, PATIENCE)
    assert not peer.connected
    (failure,) = room.failures
    assert (failure.session, failure.connection) == ("ann", "publish")
    assert "another certificate" in failure.reason


async def test_a_handshake_that_does_not_end_is_ended(room):
    """Who only checks connectivity, and never says hello, costs memory for some seconds at most."""
    object.__setattr__(room.engine._settings, "handshake_timeout", 0.05)
    connection = room.connection()
    connection.addTransceiver(room.picture(BRIGHT), direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    published = await room.engine.publish("ann", connection.localDescription.sdp)
    peer = room.engine._publications["ann"].peer
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.sendto(check(*ice_credentials(published.sdp)), ("127.0.0.1", room.engine.port))
        await asyncio.wait_for(received_by(client), PATIENCE)
        await asyncio.wait_for(peer._handshake, PATIENCE)
    assert not peer.connected
    assert room.failures == [TransportFailed("ann", "publish", "not done after 0.05 s")]


async def test_a_failing_subscriber_is_told_apart(room):
    """Only one of the session's two connections is broken, and a session that was stopped fails no more."""
    object.__setattr__(room.engine._settings, "handshake_timeout", 0.05)
    _, tracks = await room.publish("ann", AudioStreamTrack())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        for session in ("cyd", "bob"):
            await room.engine.subscribe(session, frozenset(tracks.values()))
            offer = await room.next_offer(session)
            answer = offer.sdp.replace("actpass", "active").replace("sendonly", "recvonly")
            await room.engine.answer(session, offer.number, answer)
            client.sendto(check(*ice_credentials(offer.sdp)), ("127.0.0.1", room.engine.port))
            await asyncio.wait_for(received_by(client), PATIENCE)
            if session == "cyd":
                await room.engine.stop("cyd")
        await asyncio.wait_for(room.engine._subscribers["bob"].peer._handshake, PATIENCE)
    assert room.failures == [TransportFailed("bob", "subscribe", "not done after 0.05 s")]

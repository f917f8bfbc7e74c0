"""ICE restarts: a client looks for a new way, and what there is of its peer connection goes on."""

import asyncio
import socket

import pytest

from services.edge_gateway.media.interface import MediaRefusedError
from tests.support.ice import check, ice_credentials, received_by

PATIENCE = 10.0


@pytest.fixture
def elsewhere():
    """Give a socket at another address than the client's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def known(room, credentials):
    """Whether checks with these are answered."""
    return credentials[0] in room.engine._mux.ice._peers


async def test_the_old_way_holds_until_the_new_one_is_nominated(room, elsewhere):
    """Then the old credentials are nobody's, and media goes the new way with the keys that there are."""
    connection, tracks = await room.publish("ann", room.picture(200))
    _, received = await room.subscribe("bob", *tracks.values())
    await room.frame_of(received[tracks["video"]])
    before = ice_credentials(connection.remoteDescription.sdp)
    answer = await room.engine.restart_publication("ann", connection.localDescription.sdp)
    after = ice_credentials(answer)
    assert after[0] != before[0]
    assert after[1] != before[1]
    peer = room.engine._publications["ann"].peer
    way, there = peer.link.address, ("127.0.0.1", room.engine.port)
    elsewhere.sendto(check(*after), there)
    await asyncio.wait_for(received_by(elsewhere), PATIENCE)
    assert peer.link.address == way
    assert known(room, before)
    elsewhere.sendto(check(*after, nominate=True), there)
    await asyncio.wait_for(received_by(elsewhere), PATIENCE)
    assert peer.link.address == elsewhere.getsockname()
    assert not known(room, before)
    # Each second a report goes to where the client is: encrypted with keys of the handshake that was.
    assert (await asyncio.wait_for(received_by(elsewhere), PATIENCE))[0] >= 128


async def test_of_restarts_that_came_to_nothing_the_last_counts(room):
    """The credentials of the others are forgotten: there are never more than two pairs."""
    connection, _ = await room.publish("ann", room.picture(200))
    before = ice_credentials(connection.remoteDescription.sdp)
    answers = [await room.engine.restart_publication("ann", connection.localDescription.sdp) for _ in range(5)]
    offered = [ice_credentials(answer) for answer in answers]
    assert [known(room, each) for each in (before, *offered)] == [True, False, False, False, False, True]
    await room.engine.unpublish("ann")
    assert room.engine._mux.ice._peers == {}


async def test_a_subscriber_is_offered_the_same_with_other_credentials(room):
    """Nothing else in the offer is new, and it waits for the answer to an open one."""
    _, tracks = await room.publish("ann", room.picture(200))
    await room.engine.subscribe("bob", frozenset(tracks.values()))
    first = await room.next_offer("bob")
    await room.engine.restart_subscription("bob")
    await room.answer(first, room.connection())
    second = await room.next_offer("bob")
    assert (second.number, second.mids) == (2, first.mids)
    changed = [pair for pair in zip(first.sdp.splitlines(), second.sdp.splitlines(), strict=True) if pair[0] != pair[1]]
    assert [line.partition(":")[0].split()[0] for line, _ in changed] == ["o=-", "a=ice-ufrag", "a=ice-pwd"]


async def test_a_restart_changes_nothing_else(room):
    """Another offer than the first is refused, and so is a restart of what is not there."""
    connection, _ = await room.publish("ann", room.picture(200))
    other = room.connection()
    other.addTransceiver("video", direction="sendonly")
    await other.setLocalDescription(await other.createOffer())
    with pytest.raises(MediaRefusedError, match="offers the same as before"):
        await room.engine.restart_publication("ann", other.localDescription.sdp)
    assert known(room, ice_credentials(connection.remoteDescription.sdp))
    with pytest.raises(MediaRefusedError, match="publishes nothing"):
        await room.engine.restart_publication("bob", connection.localDescription.sdp)
    with pytest.raises(MediaRefusedError, match="receives nothing"):
        await room.engine.restart_subscription("bob")

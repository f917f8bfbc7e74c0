"""The socket: whose datagram is it?"""

import asyncio
import socket
import time

import pytest
from aioice import stun

from services.edge_gateway.media.ice import Credentials
from services.edge_gateway.media.sockets import bind
from tests.support.media import ENGINES, make_mux

PATIENCE = 5.0
PASSWORD = "password"


class Somebody:
    """A route that remembers what it got."""

    def __init__(self, mux, heard: float = 0.0) -> None:
        self.heard = heard
        self.link = mux.link()
        self.got = []

    def seen_at(self, address, now, *, nominated, credentials) -> bool:  # noqa: ARG002 - the protocol has them
        """Accept every authentic check."""
        return True

    def on_dtls(self, datagram) -> None:
        """Remember it."""
        self.got.append(("dtls", datagram))

    def on_srtp(self, buffer, length, now) -> None:  # noqa: ARG002
        """Remember it."""
        self.got.append(("srtp", bytes(buffer.view[:length])))


@pytest.fixture(params=["127.0.0.1", "::1"])
def host(request):
    """Give an address of either IP version."""
    return request.param


@pytest.fixture(params=ENGINES)
def mux(request, host):
    """Give a socket that is read by hand, with either engine."""
    mux = make_mux(request.param, bind([host], 0, tcp=False).udp, time.monotonic)
    mux.allow_until(float("inf"))
    yield mux
    mux.close()


@pytest.fixture
def client(mux):
    """Give a socket of the same IP version."""
    (ours,) = mux._sockets.values()
    host = ours.getsockname()[0]
    with socket.socket(ours.family, socket.SOCK_DGRAM) as client:
        client.bind((host, 0))
        client.connect((host, mux.port))
        client.setblocking(False)
        yield client


def drain(mux) -> None:
    """Take one turn of the loop's worth."""
    for sock in mux._sockets.values():
        mux._drain(sock)


def test_the_first_byte_says_what_it_is(mux, client):
    """Each protocol has its range (RFC 7983, 7); what has none is nobody's."""
    somebody = Somebody(mux)
    assert mux.claim(client.getsockname(), somebody, 1.0)
    for first in range(256):
        client.send(bytes([first]))
    for _ in range(4):
        drain(mux)
    assert [kind for kind, _ in somebody.got] == ["dtls"] * 44 + ["srtp"] * 64
    assert somebody.got[0][1] == b"\x14"
    assert somebody.got[-1][1] == b"\xbf"


def test_one_turn_of_the_loop_takes_64_datagrams(mux, client):
    """Signalling and timers get their turn, however much arrives."""
    somebody = Somebody(mux)
    mux.claim(client.getsockname(), somebody, 1.0)
    for _ in range(100):
        client.send(b"\x80")
    drain(mux)
    assert len(somebody.got) == 64
    drain(mux)
    assert len(somebody.got) == 100


def test_after_the_deadline_media_is_not_even_taken_in(mux, client):
    """By the clock of the moment: what waited in the socket while the process was frozen is too late. Connections live on."""
    somebody = Somebody(mux)
    mux.claim(client.getsockname(), somebody, 1.0)
    mux.allow_until(time.monotonic())
    client.send(b"\x80")
    client.send(b"\x16")
    drain(mux)
    assert [kind for kind, _ in somebody.got] == ["dtls"]


def test_strangers_are_nobody(mux, client):
    """Without a check there is no route, and after release neither."""
    somebody = Somebody(mux)
    mux.claim(client.getsockname(), somebody, 1.0)
    mux.release(client.getsockname(), Somebody(mux))
    client.send(b"\x80")
    drain(mux)
    mux.release(client.getsockname(), somebody)
    mux.release(client.getsockname(), somebody)
    client.send(b"\x80")
    client.send(b"\x16")
    drain(mux)
    assert len(somebody.got) == 1


def test_an_address_is_anothers_only_when_its_owner_is_gone(mux):
    """Otherwise anybody with a session could silence anybody by forging an address."""
    address = ("192.0.2.1", 5)
    owner, other = Somebody(mux, heard=100.0), Somebody(mux)
    assert mux.claim(address, owner, 100.0)
    assert mux.claim(address, owner, 101.0)
    assert not mux.claim(address, other, 114.9)
    assert mux.claim(address, other, 115.0)


async def test_checks_are_answered_to_where_they_came_from(mux, client):
    """Over IPv4 and over IPv6."""
    mux.start(asyncio.get_running_loop())
    mux.ice.add(Somebody(mux), Credentials("me", PASSWORD))
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = "me:you"
    message.add_message_integrity(PASSWORD.encode())
    client.send(bytes(message))
    answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 2048), PATIENCE)
    read = stun.parse_message(answer)
    assert read.check_message_integrity(PASSWORD.encode())
    assert read.attributes["XOR-MAPPED-ADDRESS"] == client.getsockname()[:2]

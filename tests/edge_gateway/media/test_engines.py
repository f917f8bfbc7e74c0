"""Which engine forwards, and what each does at its bounds."""

import builtins
import os
import socket
import struct
import sys
import time

import pytest
from structlog.testing import capture_logs

from services.edge_gateway.media.engines import open_mux
from services.edge_gateway.media.rtp import Packet
from services.edge_gateway.media.sockets import bind
from shared.contracts.errors import ConfigurationError
from tests.support.media import MediaClient, NativeMux

_SO_NO_CHECK = 11
needs_native = pytest.mark.skipif(NativeMux is None, reason="no C compiler was there at install")


class Route:
    """Somebody whose packets nobody hands up."""

    def __init__(self, link) -> None:
        self.link = link
        self.heard = 0.0
        self.handed_up = []

    def on_srtp(self, buffer, length, now) -> None:  # noqa: ARG002 - the protocol has it
        """Remember what the engine did not forward."""
        self.handed_up.append(bytes(buffer.view[:length]))

    def on_dtls(self, datagram) -> None:
        """Ignore it."""


def packet(sequence: int, payload: bytes = b"media") -> Packet:
    """Make a publisher's packet."""
    return Packet(marker=0, payload_type=96, sequence=sequence, timestamp=3000 * sequence, ssrc=7, payload=payload)


def sealed(sequence: int, payload: bytes = b"media") -> bytes:
    """Make the same packet as it is sent."""
    return struct.pack("!BBHII", 0x80, 96, sequence, 3000 * sequence, 7) + payload


def socket_of(mux) -> socket.socket:
    """Return its only socket."""
    (sock,) = mux._sockets.values()
    return sock


def drain(mux) -> None:
    """Take one turn of the loop's worth."""
    mux._drain(socket_of(mux))


@pytest.fixture
def stream(mux, client):
    """Give a publisher, its stream that has begun, a subscriber, and the route of what is handed up."""
    publisher, subscriber = client(), client()
    route = Route(publisher.link)
    publisher.connect(route)
    received = publisher.link.receive_stream(7, 96, 90000, {}, keep=True)
    sent = subscriber.link.send_stream(50, 97)
    sent.started, sent.sequence_offset, sent.timestamp_offset = True, 1000, 5
    received.add(sent)
    received.counts.first = received.counts.highest = 9
    received.counts.received, received.counts.ask_from = 1, float("inf")
    return publisher, received, subscriber, route


@needs_native
def test_auto_takes_the_native_engine_where_it_is():
    """And python is what it says."""
    for wanted, given in (("auto", "native"), ("native", "native"), ("python", "python")):
        opened = open_mux(wanted, *bind(["127.0.0.1"], 0, tcp=False).udp)
        assert opened.name == given
        opened.close()


def test_without_the_native_engine_auto_goes_on_in_python(monkeypatch):
    """The log says why; who asked for the native one is told how to get it."""
    monkeypatch.delitem(sys.modules, "services.edge_gateway.media.native.engine", raising=False)
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("services.edge_gateway.media.native"):
            raise ImportError("it was not built")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with capture_logs() as logs:
        opened = open_mux("auto", *bind(["127.0.0.1"], 0, tcp=False).udp)
    assert (opened.name, logs[0]["event"], logs[0]["reason"]) == ("python", "media_engine_native_missing", "it was not built")
    opened.close()
    with (
        bind(["127.0.0.1"], 0, tcp=False).udp[0] as sock,
        pytest.raises(ConfigurationError, match=r"media engine native is not there \(it was not built\): install"),
    ):
        open_mux("native", sock)


def test_a_datagram_that_is_too_long_is_dropped_and_counted(mux, stream):
    """It is not taken for a shorter one; what comes with it is."""
    publisher, _, _, route = stream
    for length in (2048, 2049, 4000, 100):
        publisher.socket.send(b"\x80\xc9" + bytes(length - 2))
    drain(mux)
    assert [len(one) for one in route.handed_up] == [2048, 100]
    assert mux.losses.too_long == 2


def test_what_the_kernel_does_not_take_is_counted(mux, stream):
    """Media waits for nobody, and nothing is lost silently."""
    _, received, subscriber, _ = stream
    subscriber.link.move(("255.255.255.255", 9))
    received.forward(packet(10))
    assert mux.losses.not_sent == 1


def test_after_closing_nothing_is_sent(mux, stream):
    """The socket's number may be another file's by then."""
    _, received, subscriber, _ = stream
    mux.close()
    replacement = [bind(["127.0.0.1"], 0, tcp=False).udp[0] for _ in range(8)]
    mux.allow_until(float("inf"))
    received.forward(packet(10))
    assert subscriber.rtp == []
    for one in replacement:
        one.close()


@needs_native
@pytest.mark.parametrize("mux", ["native"], indirect=True)
class TestNative:
    """What is true of the native engine alone."""

    def test_packets_in_order_are_not_handed_up(self, mux, stream):
        """Otherwise it would be no faster."""
        publisher, received, subscriber, route = stream
        for sequence in range(10, 110):
            publisher.send(sealed(sequence))
        for _ in range(2):
            drain(mux)
        assert [one.sequence_number for one in subscriber.rtp] == list(range(1010, 1110))
        assert (route.handed_up, received.counts.received, received.counts.highest) == ([], 101, 109)
        assert received.find(60).payload == b"media"

    @pytest.mark.parametrize("offload", [True, False])
    def test_runs_of_equal_packets_are_one_message(self, mux, stream, offload):
        """The kernel cuts it; where it cannot, each goes alone, and the subscriber sees no difference."""
        publisher, _, subscriber, _ = stream
        mux._state.offload = offload and mux.offload
        for sequence, size in enumerate((500, 500, 500, 300, 500, 700, 700, 100), 10):
            publisher.send(sealed(sequence, bytes(size)))
        drain(mux)
        assert [len(one.payload) for one in subscriber.rtp] == [500, 500, 500, 300, 500, 700, 700, 100]
        assert mux._state.forwarded == 8

    def test_segments_too_long_for_the_way_are_sent_apart(self, mux, stream):
        """Only for that address, and nothing is lost."""
        publisher, _, subscriber, _ = stream
        mux._state.offload = True
        for sequence in range(10, 14):
            publisher.send(sealed(sequence, bytes(1200)))
        # Without checksums the kernel cuts nothing: it says EINVAL, as it does where segments are longer than the way allows.
        socket_of(mux).setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)
        drain(mux)
        assert len(subscriber.rtp) == 4
        assert mux.losses.not_sent == 0

    def test_packets_to_what_is_no_socket_address_are_sealed_here_and_sent_by_python(self, mux, stream, monkeypatch):
        """A connection over TCP is such an address; what it is sent is the same, and in order."""
        publisher, received, subscriber, _ = stream
        connection, sent = object(), []
        monkeypatch.setattr(mux, "send", lambda data, address: sent.append((data, address)))
        home = subscriber.link.address
        subscriber.link.move(connection)
        for sequence in range(10, 13):
            publisher.send(sealed(sequence))
        drain(mux)
        received.forward(packet(13))
        assert {address for _, address in sent} == {connection}
        for data, _ in sent:
            socket_of(mux).sendto(data, home)
        assert [one.sequence_number for one in subscriber.rtp] == [1010, 1011, 1012, 1013]
        subscriber.link.move(home)
        received.forward(packet(14))
        assert (len(sent), subscriber.rtp[-1].sequence_number) == (4, 1014)

    def test_what_waits_when_the_deadline_passes_is_not_sent(self, mux, stream):
        """Not after it, whatever the batch's clock said when it began."""
        publisher, received, subscriber, _ = stream
        publisher.send(sealed(10))
        mux.allow_until(time.monotonic())
        drain(mux)
        received.forward(packet(10))
        assert subscriber.rtp == []
        assert mux.losses.not_sent == 1

    def test_an_address_that_moved_is_found_no_more(self, mux, stream):
        """Neither is one that another has taken, or that was released."""
        publisher, received, _, route = stream
        other = MediaClient(mux, (os.urandom(44), os.urandom(44)))
        newcomer = Route(mux.link())
        assert mux.claim(publisher.socket.getsockname(), newcomer, 100.0)
        publisher.send(sealed(10))
        drain(mux)
        assert (received.counts.highest, route.handed_up) == (9, [])
        assert len(newcomer.handed_up) == 1
        mux.release(publisher.socket.getsockname(), newcomer)
        other.close()
        publisher.send(sealed(11))
        drain(mux)
        assert len(newcomer.handed_up) == 1

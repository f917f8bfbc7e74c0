"""Debian's coturn with the configuration that is shipped: whom it serves, and where it relays to."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import time

import aioice.ice
import pytest
from aioice import stun
from aiortc import RTCIceServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from services.edge_gateway.media.advertise import ask
from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.settings import MediaSettings
from shared.auth import turn
from shared.contracts.errors import ConfigurationError
from tests.edge_gateway.media.turn_client import TurnClient
from tests.support.coturn import coturn
from tests.support.ice import check, ice_credentials

GATEWAY = "127.0.0.1"
PATIENCE = 10.0
UNAUTHORIZED, FORBIDDEN = 401, 403


@pytest.fixture
async def server(tmp_path):
    """Give a server that relays to the gateway only."""
    async with coturn(tmp_path, GATEWAY, GATEWAY) as running:
        yield running


@contextlib.asynccontextmanager
async def client(server, *, secret=None, lasts=300):
    """Give a client with a session's credential."""
    credential = turn.make(secret or server.secret, "ann", int(time.time()) + lasts)
    async with TurnClient.open((server.host, server.port), *credential) as it:
        yield it


@pytest.mark.parametrize(
    ("options", "answer"),
    [({}, 0), ({"lasts": -1}, UNAUTHORIZED), ({"secret": "another"}, UNAUTHORIZED)],
    ids=["good", "expired", "forged"],
)
async def test_a_session_is_served_until_its_credential_expires(server, options, answer):
    """What we compute is what it computes; one that has expired, or that another secret made, is nothing."""
    async with client(server, **options) as ann:
        assert await ann.allocate() == answer


async def test_whoever_is_no_gateway_is_refused_as_a_peer(server):
    """By permission and by channel, whatever credential is shown: a removed user's allocation leads to gateways only."""
    async with client(server) as ann:
        assert await ann.allocate() == 0
        for host in ("10.77.0.9", "192.0.2.1", "169.254.169.254", "127.0.0.2"):
            assert await ann.permit((host, 5)) == FORBIDDEN
            assert await ann.bind((host, 5)) == FORBIDDEN
        assert await ann.permit((GATEWAY, 5)) == 0
        assert await ann.bind((GATEWAY, 5)) == 0


async def test_pictures_pass_through_the_relay_alone(room, server, monkeypatch):
    """Publisher and subscriber have no address of their own to offer; the gateway sees the relay's."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda *_, **__: [])
    username, password = turn.make(server.secret, "ann", int(time.time()) + 300)
    room.ice_servers = [RTCIceServer(server.url, username, password)]
    publishing, tracks = await room.publish("ann", room.picture(200))
    subscribing, received = await room.subscribe("bob", tracks["video"])
    for _ in range(20):
        await room.frame_of(received[tracks["video"]])
    offered = [found for connection in (publishing, subscribing) for found in gathered(connection)]
    assert [candidate.type for candidate in offered] == ["relay"] * 2
    assert {address[1] for address in room.engine._mux._routes} == {candidate.port for candidate in offered}
    # As long as there is a server to take it, their allocations are given up.
    for connection in (publishing, subscribing):
        await connection.close()


async def test_pictures_pass_through_tls_alone(room, tmp_path, monkeypatch):
    """``turns:``, as through a network that lets only HTTPS out: with a certificate of somebody whom the client trusts."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda *_, **__: [])
    public, private = self_signed(tmp_path, GATEWAY)
    async with coturn(tmp_path, GATEWAY, GATEWAY, certificate=(public, private)) as server:
        room.ice_servers = [RTCIceServer(f"{server.url}?transport=tcp", *turn.make(server.secret, "ann", int(time.time()) + 300))]
        # Nobody has signed it whom the client knows.
        distrustful = room.connection()
        distrustful.addTransceiver("video", direction="sendonly")
        await distrustful.setLocalDescription(await distrustful.createOffer())
        assert gathered(distrustful) == []
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        publishing, tracks = await room.publish("ann", room.picture(200))
        subscribing, received = await room.subscribe("cyd", tracks["video"])
        for _ in range(20):
            await room.frame_of(received[tracks["video"]])
        assert [candidate.type for each in (publishing, subscribing) for candidate in gathered(each)] == ["relay"] * 2
        for connection in (publishing, subscribing):
            await connection.close()


def self_signed(directory, host):
    """Write a certificate for an address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = directory / "turn.pem", directory / "turn.key"
    public.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return public, private


def gathered(connection):
    """Give a client's own candidates."""
    return connection.getTransceivers()[0].sender.transport.transport.iceGatherer.getLocalCandidates()


async def test_a_removed_session_s_allocation_reaches_a_gateway_that_ignores_it(room, server):
    """The credential is good for minutes still, and leads nowhere."""
    published, _ = await room.publish("ann", room.picture(200))
    other, _ = await room.publish("bob", room.picture(200))
    async with client(server) as ann:
        assert await ann.allocate() == 0
        assert await ann.bind((GATEWAY, room.engine.port)) == 0
        good = check(*ice_credentials(published.remoteDescription.sdp))
        ann.send(good)
        assert (await ann.answer()).transaction_id == good[8:20]
        await room.engine.stop("ann")
        ann.send(check(*ice_credentials(published.remoteDescription.sdp), nominate=True))
        ann.send(b"\x80\x60" + bytes(30))
        # Somebody else's is answered, and nothing before it: what was sent in between was seen, and ignored.
        others = check(*ice_credentials(other.remoteDescription.sdp))
        ann.send(others)
        assert (await ann.answer()).transaction_id == others[8:20]


async def test_the_own_address_is_asked_for(room, server):
    """``auto`` becomes what the STUN server sees us as, among the addresses that are listed."""
    await room.engine.close()
    settings = MediaSettings(host=GATEWAY, port=0, advertise=("192.0.2.1", "auto"), stun_server=f"{server.host}:{server.port}")
    room.engine = await UdpMediaEngine.start(settings, room.on_offer)
    published, _ = await room.publish("ann", room.picture(200))
    offered = [line.split()[4] for line in published.remoteDescription.sdp.splitlines() if line.startswith("a=candidate")]
    assert offered == ["192.0.2.1", GATEWAY] * 2


class Liar(asyncio.DatagramProtocol):
    """A STUN server with answers of its own."""

    def __init__(self, *answers):
        self.answers = answers

    def connection_made(self, transport):
        """Begin."""
        self.transport = transport

    def datagram_received(self, data, address):
        """Say all of it."""
        for answer in self.answers:
            self.transport.sendto(answer(data[8:20]), address)


def told(host, transaction):
    """Write a STUN answer."""
    message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction)
    message.attributes["XOR-MAPPED-ADDRESS"] = (host, 5)
    return bytes(message)


@pytest.fixture
async def lying():
    """Run a STUN server that says what it is told to."""
    transports = []

    async def run(*answers):
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Liar(*answers), ("127.0.0.1", 0))
        transports.append(transport)
        return "127.0.0.1:{}".format(transport.get_extra_info("sockname")[1])

    yield run
    for transport in transports:
        transport.close()
    await asyncio.sleep(0)


async def test_only_the_answer_to_our_question_counts(lying):
    """Who guesses has not seen the transaction id."""
    server = await lying(lambda _: told("192.0.2.66", b"guess" * 2 + b"ed"), lambda _: b"\x00", lambda asked: told("192.0.2.1", asked))
    with capture_logs() as logs:
        assert await ask(server, "127.0.0.1") == "192.0.2.1"
    assert [entry["event"] for entry in logs] == ["media_stun_answer_ignored"] * 2


async def test_a_server_that_says_nothing_is_named(lying, monkeypatch):
    """The operator reads whom we asked, and from where."""
    monkeypatch.setattr("services.edge_gateway.media.advertise._RETRANSMISSIONS", (0.01, 0.02))
    server = await lying()
    with pytest.raises(ConfigurationError, match=f"STUN server {server} did not answer 127.0.0.1 within 0.03 s"):
        await ask(server, "127.0.0.1")
    settings = MediaSettings(host="127.0.0.1", port=0, advertise=("auto",), stun_server=server)
    with pytest.raises(ConfigurationError, match="did not answer"):
        await UdpMediaEngine.start(settings, lambda _: None)


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "2001:db8::1"])  # noqa: S104 -- nothing is bound here
async def test_what_cannot_be_our_address_is_refused(lying, host):
    """Of another IP version, or of nobody."""
    server = await lying(lambda asked: told(host, asked))
    with pytest.raises(ConfigurationError, match=f"told 127.0.0.1 that it is {host}"):
        await ask(server, "127.0.0.1")


async def test_one_ip_version_without_an_answer_is_left_out_loudly(lying):
    """The other one serves."""
    server = await lying(lambda asked: told("192.0.2.1", asked))
    settings = MediaSettings(host="127.0.0.1,::1", port=0, advertise=("auto",), stun_server=server)
    with capture_logs() as logs:
        engine = await UdpMediaEngine.start(settings, lambda _: None)
    await engine.close()
    (warning,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert warning["event"] == "media_address_not_found"
    assert "cannot be asked from ::1" in warning["reason"]
    assert engine._addresses == ("192.0.2.1",)

"""Connectivity checks, against aioice as an independent opinion."""

import contextlib

import pytest
from aioice import stun as oracle
from hypothesis import given
from hypothesis import strategies as st

from services.edge_gateway.media.ice import Credentials, IceLite
from services.edge_gateway.media.stun import MalformedStunError, binding_response, mapped_address, parse_request, plain_request

PASSWORD = b"0123456789abcdef0123456789abcdef"
ADDRESS = ("192.0.2.7", 50000)
transactions = st.binary(min_size=12, max_size=12)


def request(transaction: bytes = bytes(12), username: str = "me:you", *, nominates: bool = False, password: bytes = PASSWORD) -> bytes:
    """Write a check as a browser does, with aioice."""
    message = oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST, transaction)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = 1862270975
    message.attributes["ICE-CONTROLLING"] = 7
    if nominates:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password)
    return bytes(message)


@given(
    transactions,
    st.from_regex(r"[A-Za-z0-9+/]{4,32}:[A-Za-z0-9+/]{4,32}", fullmatch=True),
    st.booleans(),
    st.binary(min_size=1, max_size=64),
)
def test_checks_written_by_aioice_are_read(transaction, username, nominates, password):
    """Every field arrives, and only the right password fits."""
    read = parse_request(request(transaction, username, nominates=nominates, password=password))
    assert (read.transaction, read.username, read.nominates) == (transaction, username, nominates)
    assert read.authentic(password)
    assert not read.authentic(password + b"!")


@given(transactions, st.ip_addresses(), st.integers(0, 65535))
def test_responses_are_read_by_aioice(transaction, address, port):
    """The response is signed, has a fingerprint, and says where the request came from."""
    message = oracle.parse_message(binding_response(transaction, str(address), port, PASSWORD))
    assert (message.message_method, message.message_class) == (oracle.Method.BINDING, oracle.Class.RESPONSE)
    assert message.transaction_id == transaction
    assert message.check_message_integrity(PASSWORD)
    mapped = getattr(address, "ipv4_mapped", None) or address
    assert message.attributes["XOR-MAPPED-ADDRESS"] == (str(mapped), port)


def test_a_response_is_byte_for_byte_aioices():
    """Two writers of one specification write the same."""
    message = oracle.Message(oracle.Method.BINDING, oracle.Class.RESPONSE, b"t" * 12)
    message.attributes["XOR-MAPPED-ADDRESS"] = ADDRESS
    message.add_message_integrity(PASSWORD)
    assert binding_response(b"t" * 12, *ADDRESS, PASSWORD) == bytes(message)


@given(st.binary(max_size=200))
def test_anything_else_is_malformed(data):
    """Random bytes never are a check, and never anything worse than malformed."""
    with pytest.raises(MalformedStunError):
        parse_request(data)


@given(st.integers(0, len(request()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at, change):
    """No byte of a check can be changed on the way without its fingerprint or its integrity failing."""
    data = bytearray(request())
    data[at] ^= change
    with contextlib.suppress(MalformedStunError):
        assert not parse_request(bytes(data)).authentic(PASSWORD)


def test_what_is_not_signed_does_not_count():
    """A USE-CANDIDATE behind the integrity could have been put there by anybody."""
    message = oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST)
    message.attributes["USERNAME"] = "me:you"
    message.add_message_integrity(PASSWORD)
    del message.attributes["FINGERPRINT"]
    message.attributes["USE-CANDIDATE"] = None
    message.add_fingerprint()
    read = parse_request(bytes(message))
    assert read.authentic(PASSWORD)
    assert not read.nominates


@pytest.mark.parametrize("left_out", ["USERNAME", "MESSAGE-INTEGRITY", "FINGERPRINT"])
def test_all_three_proofs_are_needed(left_out):
    """ICE wants USERNAME, MESSAGE-INTEGRITY and FINGERPRINT in every check (RFC 8445, 7.1)."""
    message = oracle.Message(oracle.Method.BINDING, oracle.Class.REQUEST)
    message.attributes["USERNAME"] = "me:you"
    message.add_message_integrity(PASSWORD)
    del message.attributes["FINGERPRINT"]
    message.attributes.pop(left_out, None)
    if left_out != "FINGERPRINT":
        message.add_fingerprint()
    with pytest.raises(MalformedStunError):
        parse_request(bytes(message))


class Peer:
    """Somebody whose checks are answered."""

    def __init__(self) -> None:
        self.credentials = Credentials("me", PASSWORD.decode())
        self.seen = []
        self.willing = True

    def seen_at(self, address, now, *, nominated, credentials):
        """Take note."""
        assert credentials is self.credentials
        self.seen.append((address, now, nominated))
        return self.willing


@pytest.fixture
def peer() -> Peer:
    """Give a peer."""
    return Peer()


@pytest.fixture
def ice(peer) -> IceLite:
    """Give an agent that knows the peer."""
    agent = IceLite()
    agent.add(peer, peer.credentials)
    return agent


def test_an_authentic_check_is_answered(ice, peer):
    """The peer hears where it came from, and the client gets its response."""
    response = ice.check(request(b"t" * 12, nominates=True), ADDRESS, 5.0)
    assert response == binding_response(b"t" * 12, *ADDRESS, PASSWORD)
    assert peer.seen == [(ADDRESS, 5.0, True)]


@pytest.mark.parametrize("data", [request(username="she:you"), request(password=b"wrong"), request(username="me")[:-1], b"", b"\x00\x01"])
def test_whoever_cannot_prove_it_gets_silence(ice, peer, data):
    """An error response would tell a scanner that somebody listens here."""
    assert ice.check(data, ADDRESS, 5.0) is None
    assert peer.seen == []


def test_a_peer_that_refuses_the_address_is_not_answered(ice, peer):
    """The address may belong to another one."""
    peer.willing = False
    assert ice.check(request(), ADDRESS, 5.0) is None


def test_a_peer_that_is_gone_is_not_answered(ice, peer):
    """After a session's end nothing of it speaks."""
    ice.remove(peer.credentials)
    ice.remove(peer.credentials)
    assert ice.check(request(), ADDRESS, 5.0) is None


def answer(address: tuple[str, int] | None, transaction: bytes = b"t" * 12, kind: oracle.Class = oracle.Class.RESPONSE) -> bytes:
    """Write what a STUN server says."""
    message = oracle.Message(oracle.Method.BINDING, kind, transaction)
    message.attributes["SOFTWARE"] = "odd"
    if address is not None:
        message.attributes["XOR-MAPPED-ADDRESS"] = address
    return bytes(message)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_own_address_is_read(host):
    """Of either IP version, from a message of another implementation; and it reads what we ask with."""
    assert mapped_address(answer((host, 5)), b"t" * 12) == host
    asked = oracle.parse_message(plain_request(b"t" * 12))
    assert (asked.message_method, asked.message_class, asked.transaction_id) == (oracle.Method.BINDING, oracle.Class.REQUEST, b"t" * 12)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        answer(("192.0.2.1", 5), transaction=b"u" * 12),
        answer(("192.0.2.1", 5), kind=oracle.Class.ERROR),
        answer(None),
        answer(("192.0.2.1", 5))[:-1],
        answer(("192.0.2.1", 5)) + b"0000",
        b"\x01\x01\x00\x04" + answer(None)[4:20] + b"\x00\x20\x00\x00",
        b"\x01\x01\x00\x08" + answer(None)[4:20] + b"\x00\x20\x00\x04\x00\x03\x00\x05",
    ],
)
def test_what_is_no_answer_to_us_says_nothing(data):
    """Whoever has not seen the request does not know its transaction id."""
    with pytest.raises(MalformedStunError):
        mapped_address(data, b"t" * 12)

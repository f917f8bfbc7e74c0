"""STUN as an ICE-lite agent needs it: binding requests in, success responses out (RFC 8489, RFC 8445).

And as who asks for the own address needs it: the other way round, and without credentials.
"""

import hmac
import ipaddress
import struct
import zlib
from dataclasses import dataclass

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_COOKIE = 0x2112A442
_BINDING_REQUEST = 0x0001
_BINDING_SUCCESS = 0x0101
_USERNAME = 0x0006
_MESSAGE_INTEGRITY = 0x0008
_XOR_MAPPED_ADDRESS = 0x0020
_USE_CANDIDATE = 0x0025
_FINGERPRINT = 0x8028
_FINGERPRINT_XOR = 0x5354554E
_INTEGRITY_SIZE = 20
_INTEGRITY_END = 4 + _INTEGRITY_SIZE
_FINGERPRINT_END = 8


class MalformedStunError(ValueError):
    """Not a binding request of an ICE agent."""


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """A connectivity check that is well formed; whether it is authentic is another question."""

    transaction: bytes
    """12 bytes, for the response."""
    username: str
    """``<the answerer's ufrag>:<the asker's>``."""
    nominates: bool
    """It has USE-CANDIDATE."""
    signed: bytes
    """What its integrity covers: everything before MESSAGE-INTEGRITY, with the length adjusted (RFC 8489, 14.5)."""
    integrity: bytes

    def authentic(self, password: bytes) -> bool:
        """Tell whether the sender knows the password."""
        return hmac.compare_digest(hmac.digest(password, self.signed, "sha1"), self.integrity)


def parse_request(data: bytes) -> BindingRequest:
    """Read a datagram as a connectivity check: a binding request with USERNAME, MESSAGE-INTEGRITY and FINGERPRINT.

    Attributes between MESSAGE-INTEGRITY and FINGERPRINT are not covered by the signature and are ignored.

    Raises:
        MalformedStunError: it is anything else.
    """
    if len(data) < _HEADER.size:
        raise MalformedStunError("shorter than a STUN header")
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind != _BINDING_REQUEST or cookie != _COOKIE or length != len(data) - _HEADER.size or length % 4:
        raise MalformedStunError("not a STUN binding request")
    username: bytes | None = None
    integrity_at: int | None = None
    nominates = False
    at = _HEADER.size
    while at < len(data):
        attribute, size = _ATTRIBUTE.unpack_from(data, at)
        value = at + _ATTRIBUTE.size
        following = value + (size + 3) // 4 * 4
        if following > len(data):
            raise MalformedStunError("an attribute is longer than the message")
        if attribute == _FINGERPRINT:
            break
        if integrity_at is None:
            if attribute == _USERNAME and username is None:
                username = data[value : value + size]
            elif attribute == _USE_CANDIDATE:
                nominates = True
            elif attribute == _MESSAGE_INTEGRITY:
                if size != _INTEGRITY_SIZE:
                    raise MalformedStunError("the integrity is not 20 bytes")
                integrity_at = at
        at = following
    _check_fingerprint(data, at)
    if username is None or integrity_at is None:
        raise MalformedStunError("no username or no integrity")
    signed_length = integrity_at + _INTEGRITY_END - _HEADER.size
    return BindingRequest(
        transaction=transaction,
        username=_text(username),
        nominates=nominates,
        signed=data[:2] + signed_length.to_bytes(2, "big") + data[4:integrity_at],
        integrity=data[integrity_at + 4 : integrity_at + _INTEGRITY_END],
    )


def _check_fingerprint(data: bytes, at: int) -> None:
    if at + _FINGERPRINT_END != len(data):
        raise MalformedStunError("the fingerprint is missing or not last")
    if _ATTRIBUTE.unpack_from(data, at)[1] != 4 or int.from_bytes(data[at + 4 :], "big") != zlib.crc32(data[:at]) ^ _FINGERPRINT_XOR:
        raise MalformedStunError("wrong fingerprint")


def _text(username: bytes) -> str:
    try:
        return username.decode()
    except UnicodeDecodeError as error:
        raise MalformedStunError("the username is not UTF-8") from error


def binding_response(transaction: bytes, host: str, port: int, password: bytes) -> bytes:
    """Write the success response: where the request came from, signed and with a fingerprint.

    Args:
        transaction: the request's, 12 bytes.
        host: the request's source address, IPv4 or IPv6.
        port: the request's source port.
        password: the one that the request was signed with.
    """
    mapped = _xor_address(transaction, host, port)
    body = _ATTRIBUTE.pack(_XOR_MAPPED_ADDRESS, len(mapped)) + mapped
    unsigned = _HEADER.pack(_BINDING_SUCCESS, len(body) + _INTEGRITY_END, _COOKIE, transaction) + body
    body += _ATTRIBUTE.pack(_MESSAGE_INTEGRITY, _INTEGRITY_SIZE) + hmac.digest(password, unsigned, "sha1")
    unchecked = _HEADER.pack(_BINDING_SUCCESS, len(body) + _FINGERPRINT_END, _COOKIE, transaction) + body
    return unchecked + struct.pack("!HHI", _FINGERPRINT, 4, zlib.crc32(unchecked) ^ _FINGERPRINT_XOR)


def _xor_address(transaction: bytes, host: str, port: int) -> bytes:
    """Encode an address so that no NAT on the way finds and changes it (RFC 8489, 14.2)."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    mask = int.from_bytes((_COOKIE.to_bytes(4, "big") + transaction)[: len(address.packed)], "big")
    xored = (int(address) ^ mask).to_bytes(len(address.packed), "big")
    return struct.pack("!BBH", 0, 1 if address.version == 4 else 2, port ^ (_COOKIE >> 16)) + xored


def plain_request(transaction: bytes) -> bytes:
    """Write a binding request that anybody answers: no credentials, no attributes. ``transaction`` is 12 random bytes."""
    return _HEADER.pack(_BINDING_REQUEST, 0, _COOKIE, transaction)


def mapped_address(data: bytes, transaction: bytes) -> str:
    """Read the response to :func:`plain_request`: the address that the request came from.

    Who has not seen the request cannot know the transaction id; nothing else vouches for the answer.

    Raises:
        MalformedStunError: it is anything but a success response to that request with an address.
    """
    if len(data) < _HEADER.size:
        raise MalformedStunError("shorter than a STUN header")
    kind, length, cookie, found = _HEADER.unpack_from(data)
    if kind != _BINDING_SUCCESS or cookie != _COOKIE or length != len(data) - _HEADER.size or not hmac.compare_digest(found, transaction):
        raise MalformedStunError("not the response to this request")
    at = _HEADER.size
    while at + _ATTRIBUTE.size <= len(data):
        attribute, size = _ATTRIBUTE.unpack_from(data, at)
        value = data[at + _ATTRIBUTE.size :][:size]
        if attribute == _XOR_MAPPED_ADDRESS:
            return _read_xor_address(transaction, value)
        at += _ATTRIBUTE.size + (size + 3) // 4 * 4
    raise MalformedStunError("no XOR-MAPPED-ADDRESS")


def _read_xor_address(transaction: bytes, value: bytes) -> str:
    size = {(1, 8): 4, (2, 20): 16}.get((value[1], len(value))) if len(value) > 1 else None
    if size is None:
        raise MalformedStunError("an address of neither IP version")
    mask = _COOKIE.to_bytes(4, "big") + transaction
    packed = bytes(byte ^ over for byte, over in zip(value[4:], mask, strict=False))
    return str(ipaddress.ip_address(packed))

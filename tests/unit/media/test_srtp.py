"""SRTP in place."""

import os

import pytest
from pylibsrtp import Policy, Session

from services.edge_gateway.media import dtls, srtp
from services.edge_gateway.media.srtp import Buffer, SrtpContext, UnsupportedLibraryError

KEY = os.urandom(44)
RTP = bytes.fromhex("80600001000000020000000300000000") + b"media"


def session(kind: int) -> Session:
    """Make one direction."""
    return Session(Policy(KEY, kind, 0, Policy.SRTP_PROFILE_AEAD_AES_256_GCM))


def test_what_pylibsrtp_protects_is_unprotected_in_place():
    """The same library, without its copies."""
    context, buffer = SrtpContext(session(Policy.SSRC_ANY_INBOUND)), Buffer()
    protected = session(Policy.SSRC_ANY_OUTBOUND).protect(RTP)
    buffer.view[: len(protected)] = protected
    assert context.unprotect(buffer, len(protected)) == len(RTP)
    assert bytes(buffer.view[: len(RTP)]) == RTP
    buffer.view[: len(protected)] = protected
    assert context.unprotect(buffer, len(protected)) == 0, "a replay"


def test_what_is_protected_in_place_is_unprotected_by_pylibsrtp():
    """And forged packets are not."""
    context, buffer = SrtpContext(session(Policy.SSRC_ANY_OUTBOUND)), Buffer()
    buffer.view[: len(RTP)] = RTP
    length = context.protect(buffer, len(RTP))
    assert session(Policy.SSRC_ANY_INBOUND).unprotect(bytes(buffer.view[:length])) == RTP


@pytest.mark.parametrize("length", [0, 1, 11, 12, 21, 22, 40, 2048])
def test_nonsense_of_any_length_is_refused(length):
    """Nothing that comes from the network makes libsrtp read beyond it."""
    context, buffer = SrtpContext(session(Policy.SSRC_ANY_INBOUND)), Buffer()
    for first in (0x80, 0x9F, 0xBF):
        buffer.view[:length] = bytes([first]) * length
        assert context.unprotect(buffer, length) == 0
        assert context.unprotect_rtcp(buffer, length) == 0


def test_a_library_whose_parts_moved_is_named(monkeypatch):
    """The operator hears which one, when the gateway starts."""
    monkeypatch.setattr(srtp, "lib", object())
    with pytest.raises(UnsupportedLibraryError, match=r"pylibsrtp 1\.0\.0 is not 1\.0\.0"):
        srtp.self_test()
    monkeypatch.setattr(dtls.RTCDtlsTransport, "_set_role", property())
    with pytest.raises(UnsupportedLibraryError, match=r"aiortc 1\.16\.0 is not 1\.16\.0"):
        dtls.self_test()

"""SRTP in place: libsrtp works on the buffer that the packet was received into, or is sent from (RFC 3711).

pylibsrtp's public functions copy each packet twice, which is half of their cost, so this module goes to the binding
below them. That is not its public interface: :func:`self_test` runs when the module is imported.
"""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import pylibsrtp
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib

from services.edge_gateway.media.rtp import HEADER_SIZE

MAX_DATAGRAM = 2048
"""What comes in one datagram: more than any path's MTU, less than what follows could overflow."""
_MAX_TRAILER = 256
# An SRTCP packet has a header, an index and the shortest tag that we negotiate (RFC 3711, 3.4).
_MIN_RTCP = 8 + 4 + 10


class UnsupportedLibraryError(ImportError):
    """A pinned library is not the version that this package was written for."""


class Buffer:
    """Memory of one datagram, with room for what protection adds.

    Args:
        address: of memory that is another's and outlives this; none, it is its own.
    """

    __slots__ = ("pointer", "view")

    def __init__(self, address: int | None = None) -> None:
        size = MAX_DATAGRAM + _MAX_TRAILER
        self.pointer = ffi.new("char[]", size) if address is None else ffi.cast("char *", address)
        self.view = memoryview(ffi.buffer(self.pointer, size))


# One for all: libsrtp reads and writes it within a call, and all calls come from one thread.
_length = ffi.new("int *")


class SrtpContext:
    """One direction of one peer connection's SRTP. Each method returns the new length in bytes, or 0 for failure."""

    __slots__ = ("_handle", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session  # frees the handle when it goes
        self._handle = session._srtp[0]  # noqa: SLF001 - see the module's docstring

    @property
    def address(self) -> int:
        """Where libsrtp's context lies; it is gone when this object is."""
        return int(ffi.cast("uintptr_t", self._handle))

    def protect(self, buffer: Buffer, length: int) -> int:
        """Encrypt an RTP packet."""
        return self._call(lib.srtp_protect, buffer, length)

    def unprotect(self, buffer: Buffer, length: int) -> int:
        """Check and decrypt an RTP packet."""
        return self._call(lib.srtp_unprotect, buffer, length) if length >= HEADER_SIZE else 0

    def protect_rtcp(self, buffer: Buffer, length: int) -> int:
        """Encrypt an RTCP packet."""
        return self._call(lib.srtp_protect_rtcp, buffer, length)

    def unprotect_rtcp(self, buffer: Buffer, length: int) -> int:
        """Check and decrypt an RTCP packet."""
        return self._call(lib.srtp_unprotect_rtcp, buffer, length) if length >= _MIN_RTCP else 0

    def forget(self, ssrc: int) -> None:
        """Free what is kept of a stream: libsrtp looks for a packet's stream in a list of all there ever were."""
        # It is not there when no packet of it was ever sent.
        with contextlib.suppress(pylibsrtp.Error):
            self._session.remove_stream(ssrc)

    def _call(self, function: Callable[[Any, Any, Any], int], buffer: Buffer, length: int) -> int:
        _length[0] = length
        return _length[0] if function(self._handle, buffer.pointer, _length) == 0 else 0


def functions() -> tuple[int, int]:
    """Return the addresses of libsrtp's ``srtp_protect`` and ``srtp_unprotect``."""
    found = [int(ffi.cast("uintptr_t", ffi.addressof(lib, name))) for name in ("srtp_protect", "srtp_unprotect")]
    return found[0], found[1]


def self_test() -> None:
    """Send one packet through both directions of both functions.

    Raises:
        UnsupportedLibraryError: pylibsrtp is not what it was.
    """
    try:
        key = os.urandom(44)
        kinds = (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND)
        sender, receiver = (SrtpContext(Session(Policy(key, kind, 0, Policy.SRTP_PROFILE_AEAD_AES_256_GCM))) for kind in kinds)
        buffer = Buffer()
        for plain, protect, unprotect in (
            (bytes.fromhex("806000010000000200000003") + b"media", sender.protect, receiver.unprotect),
            (bytes.fromhex("80c90001") + os.urandom(4), sender.protect_rtcp, receiver.unprotect_rtcp),
        ):
            buffer.view[: len(plain)] = plain
            protected = protect(buffer, len(plain))
            if protected <= len(plain):
                raise UnsupportedLibraryError("pylibsrtp does not encrypt")
            if unprotect(buffer, protected) != len(plain) or buffer.view[: len(plain)] != plain:
                raise UnsupportedLibraryError("pylibsrtp does not decrypt in place")
    except (AttributeError, TypeError, ValueError, pylibsrtp.Error, ffi.error) as error:
        raise UnsupportedLibraryError(f"pylibsrtp {pylibsrtp.__version__} is not 1.0.0: its parts moved") from error


self_test()

"""Which engine forwards: the native one where it was built, or the one in Python."""

import socket
from typing import Literal

import structlog

from services.edge_gateway.media.forwarding import UNLIMITED, Allowance
from services.edge_gateway.media.mux import UdpMux
from shared.contracts.errors import ConfigurationError

log = structlog.get_logger()

EngineName = Literal["auto", "python", "native"]


def open_mux(engine: EngineName, *sockets: socket.socket, allowance: Allowance = UNLIMITED) -> UdpMux:
    """Put an engine behind sockets that are bound and do not block, at most one of each IP version; each client may send so much.

    Raises:
        ConfigurationError: the native engine was asked for, and this install has none.
    """
    if engine == "python":
        return UdpMux(*sockets, allowance=allowance)
    try:
        from services.edge_gateway.media.native.engine import NativeMux  # noqa: PLC0415 - it may not be there
    except ImportError as error:
        if engine == "auto":
            log.info("media_engine_native_missing", reason=str(error))
            return UdpMux(*sockets, allowance=allowance)
        raise ConfigurationError(
            f"media engine native is not there ({error}): install Stagedoor again with a C compiler and Python's headers, or choose auto"
        ) from error
    return NativeMux(*sockets, allowance=allowance)

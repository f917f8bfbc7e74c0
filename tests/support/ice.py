"""Connectivity checks by hand, and where clients are."""

import asyncio
import re
import socket

from aioice import stun


def address(connection) -> tuple[str, int]:
    """Return where a client's connection sends from."""
    transport = connection.getTransceivers()[0].sender.transport.transport
    return transport._connection._nominated[1].local_addr


def ice_credentials(sdp: str) -> tuple[str, str]:
    """Return what the gateway told a client: its ufrag and password."""
    return re.search("a=ice-ufrag:(.*)\r\n", sdp)[1], re.search("a=ice-pwd:(.*)\r\n", sdp)[1]


def unsigned_check(ufrag: str) -> stun.Message:
    """Make a connectivity check without integrity."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{ufrag}:me"
    return bytes(message)


def check(ufrag: str, password: str, *, nominate: bool = False) -> bytes:
    """Make a connectivity check."""
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = f"{ufrag}:me"
    if nominate:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    return bytes(message)


async def received_by(sock: socket.socket) -> bytes:
    """Wait for a datagram."""
    sock.setblocking(False)
    return await asyncio.get_running_loop().sock_recv(sock, 2048)

"""A UDP path between browsers and a gateway that loses, delays, reorders and narrows what passes, by a rule with a seed.

The gateway tells browsers the proxy's address; it has the gateway's port number.
"""

import asyncio
import contextlib
import random
import socket
from dataclasses import dataclass

_MEDIA = 128
"""First byte of RTP and RTCP: connections come about undisturbed (RFC 7983)."""
_QUEUE_SECONDS = 0.2
"""What a narrow path keeps before it drops."""
_SO_RCVBUFFORCE = 33
_BUFFER = 4 << 20


@dataclass
class Rule:
    """What happens to media on its way in one direction. All changes count at once."""

    loss: float = 0.0
    """Probability of a datagram to be dropped."""
    reorder: float = 0.0
    """Probability of a datagram to come 15 ms later than it should."""
    delay: float = 0.0
    """Seconds."""
    bits_per_second: float | None = None
    """None is any number."""


class _Way:
    """One direction of one client's path."""

    def __init__(self, rule, chance):
        self.rule = rule
        self.passed = self.dropped = 0
        self._chance = chance
        self._free_at = 0.0

    def carry(self, data, send):
        """Send a datagram on, now, later or never."""
        rule, loop = self.rule, asyncio.get_running_loop()
        if data[0] < _MEDIA:
            send(data)
            return
        delay = rule.delay + (0.015 if self._chance.random() < rule.reorder else 0.0)
        if rule.bits_per_second is not None:
            now = loop.time()
            self._free_at = max(now, self._free_at) + len(data) * 8 / rule.bits_per_second
            delay += self._free_at - now
        if self._chance.random() < rule.loss or delay > rule.delay + _QUEUE_SECONDS:
            self.dropped += 1
            # What was dropped took no time of a narrow path.
            if rule.bits_per_second is not None:
                self._free_at -= len(data) * 8 / rule.bits_per_second
            return
        self.passed += 1
        if delay > 0:
            loop.call_later(delay, send, data)
        else:
            send(data)


class _Upstream(asyncio.DatagramProtocol):
    """The gateway's end of one client's path."""

    def __init__(self, way, send):
        self._way = way
        self._send = send

    def datagram_received(self, data, _address):
        """Take a datagram of the gateway to the client."""
        self._way.carry(data, self._send)


class UdpProxy(asyncio.DatagramProtocol):
    """Carries datagrams between any number of clients and one gateway.

    Args:
        address: where clients find it.
        gateway: the gateway's address; the port is the same.
        port: of both.
        seed: of what is left to chance.
    """

    def __init__(self, address, gateway, port, seed=1):
        self.up = Rule()
        """From browsers to the gateway."""
        self.down = Rule()
        self._address = address
        self._gateway = gateway
        self._port = port
        self._chance = random.Random(seed)  # noqa: S311 -- to be repeated
        self._clients = {}
        self._lost = set()
        self._ways = []
        self._transport = None

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._address, self._port))
        _buffer_much(self._transport)
        return self

    async def __aexit__(self, *_error):
        self._transport.close()
        for client in self._clients.values():
            (await client)[0].close()

    def reset(self):
        """Let everything through."""
        self.up.__init__()
        self.down.__init__()

    @property
    def dropped(self):
        """Say how many datagrams were dropped: up, down."""
        return tuple(sum(way.dropped for way in self._ways if way.rule is rule) for rule in (self.up, self.down))

    def lose_clients(self):
        """Carry nothing any more to and from where clients are now, as when they have changed networks; from elsewhere they get through."""
        self._lost |= self._clients.keys()

    def datagram_received(self, data, address):
        """Take a datagram of a client to the gateway."""
        if address in self._lost:
            return
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = asyncio.ensure_future(self._connect(address))
        if client.done():
            transport, way = client.result()
            way.carry(data, transport.sendto)
        # What comes meanwhile is lost: browsers check again.

    def _send_down(self, data, address):
        if address not in self._lost:
            self._transport.sendto(data, address)

    async def _connect(self, address):
        up, down = _Way(self.up, self._chance), _Way(self.down, self._chance)
        self._ways += [up, down]
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Upstream(down, lambda data: self._send_down(data, address)),
            local_addr=(self._address, 0),
            remote_addr=(self._gateway, self._port),
        )
        _buffer_much(transport)
        return transport, up


def _buffer_much(transport):
    """Have the kernel keep what comes while this process waits for its turn: what is lost is lost on purpose."""
    with contextlib.suppress(PermissionError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)

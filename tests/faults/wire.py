"""Wires of TCP that can be held, cut and healed, and that break off at any byte."""

import asyncio
import contextlib
import random

from tests.support.ports import free_port

_CHUNK = 65536


class Wire:
    """Carries TCP connections from a port of its own to another one.

    Args:
        host: where it leads.
        port: there.
        at: the address that it listens on.
        breaks: asked for each connection how many bytes it carries before it is cut; None is never.
    """

    def __init__(self, host, port, *, at="127.0.0.1", breaks=lambda: None):
        self.host = at
        self.port = free_port()
        self._to = host, port
        self._breaks = breaks
        self._ends = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refuses = False
        self._server = None

    async def start(self):
        """Begin to listen."""
        self._server = await asyncio.start_server(self._carry, self.host, self.port)

    @property
    def used(self):
        """Whether anybody is connected through it."""
        return bool(self._ends)

    def hold(self):
        """Carry nothing, and tell nobody: what a lost network does."""
        self._flowing.clear()

    def cut(self):
        """End all connections, and take no others."""
        self._refuses = True
        self.drop()

    def drop(self):
        """End all connections, without a word more."""
        for end in tuple(self._ends):
            end.transport.abort()

    def heal(self):
        """Carry again."""
        self._refuses = False
        self._flowing.set()

    async def close(self):
        """End."""
        self.heal()
        self._server.close()
        self.drop()

    async def _carry(self, reader, writer):
        if self._refuses:
            writer.transport.abort()
            return
        try:
            await self._flowing.wait()
            there_reader, there_writer = await asyncio.open_connection(*self._to)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, there_writer}
        self._ends |= ends
        budget = _Budget(self._breaks())
        try:
            await asyncio.gather(self._pipe(reader, there_writer, ends, budget), self._pipe(there_reader, writer, ends, budget))
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()

    async def _pipe(self, reader, writer, ends, budget):
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                writer.write(budget.allow(data))
                await writer.drain()
                if budget.left == 0:
                    break
            else:
                # One side has said all: the other may still speak.
                writer.write_eof()
                return
        for end in ends:
            end.transport.abort()


class _Budget:
    """How many bytes a connection still carries, both ways together."""

    def __init__(self, left):
        self.left = left

    def allow(self, data):
        """Take what may pass of some bytes."""
        if self.left is None:
            return data
        passed = data[: self.left]
        self.left -= len(passed)
        return passed


def breaks_sometimes(rng: random.Random, share: float, most: int):
    """Make a wire's habit: a share of its connections breaks after a random number of bytes."""
    return lambda: rng.randrange(1, most) if rng.random() < share else None

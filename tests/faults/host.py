"""A network of its own for one gateway: one link to the bus, which can be cut, and one to everybody else, which cannot.

Whoever makes it must be root in a network of his own (tests/browser/in_namespace.py). It is gone with the process that holds it.
"""

import asyncio
import ctypes
import os
import shutil
import signal
import sys
from pathlib import Path

from cli.nats_server import die_with_parent

_CLONE_NEWNET = 0x40000000
_HOLD = "import signal, sys; print(flush=True); signal.pause()"


class Host:
    """One machine, as far as the network goes. ``number`` is 1 to 254, and another one for each."""

    def __init__(self, number):
        self.bus_address = f"10.78.{number}.1"
        """Where the bus is for whoever is in here."""
        self.address = f"10.79.{number}.2"
        """Where everybody finds who is in here."""
        self._bus, self._others = f"bus{number}", f"others{number}"
        self._number = number
        self._holder = None

    async def start(self):
        """Make it."""
        self._holder = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", _HOLD, stdout=asyncio.subprocess.PIPE, preexec_fn=_leave_the_network
        )
        await self._holder.stdout.readline()
        for link, network in ((self._bus, 78), (self._others, 79)):
            here, there = (f"10.{network}.{self._number}.{end}" for end in (1, 2))
            await self._ip(f"link add {link} type veth peer name {link} netns {self._holder.pid}")
            await self._ip(f"address add {here}/24 dev {link}")
            await self._ip(f"link set {link} up")
            await self._ip(f"address add {there}/24 dev {link}", inside=True)
            await self._ip(f"link set {link} up", inside=True)
        await self._ip("link set lo up", inside=True)
        await self._ip(f"route add default via 10.79.{self._number}.1 dev {self._others}", inside=True)

    def enter(self):
        """Become one of those in here: for the start of a process, before it runs its program."""
        die_with_parent()
        _enter(self._holder.pid)

    async def cut(self):
        """Let nothing pass between here and the bus; nobody is told."""
        await self._ip(f"link set {self._bus} down")

    async def heal(self):
        """Undo it."""
        await self._ip(f"link set {self._bus} up")

    async def stop(self):
        """Let go of it."""
        self._holder.send_signal(signal.SIGKILL)
        await self._holder.wait()

    async def _ip(self, step, *, inside=False):
        program = shutil.which("ip", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin")))
        enter = (lambda: _enter(self._holder.pid)) if inside else None
        process = await asyncio.create_subprocess_exec(program, *step.split(), stderr=asyncio.subprocess.PIPE, preexec_fn=enter)
        _, said = await process.communicate()
        if process.returncode:
            raise OSError(f"ip {step}: {said.decode().strip()}")


def _leave_the_network():
    die_with_parent()
    _check(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET))


def _enter(pid):
    with Path(f"/proc/{pid}/ns/net").open("rb") as network:
        _check(ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET))


def _check(answer):
    if answer:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

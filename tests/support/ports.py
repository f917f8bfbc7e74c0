"""Ports for processes that cannot be asked which one they got."""

import os
import random
import socket

_RANGES = {"gw0": range(15_000, 20_000), "gw1": range(20_000, 25_000)}
"""Of test processes that run side by side, each has its own."""
_ports = _RANGES.get(os.environ.get("PYTEST_XDIST_WORKER"), range(25_000, 30_000))
_taken = set()


def free_port():
    """A TCP and UDP port that was free a moment ago, and that this run gives to nobody else.

    From below the range out of which the kernel gives ports to connections, so that none of those takes it meanwhile.
    """
    while True:
        port = random.choice(_ports)  # noqa: S311 -- no secret
        if port in _taken:
            continue
        _taken.add(port)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(type=kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port

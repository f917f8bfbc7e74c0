"""Three nats-servers as one, on loopback: what a single LocalNats is for one server."""

import asyncio
import contextlib
import os
import signal

import httpx

from cli.nats_server import LocalNats
from tests.support.ports import free_port

NODES = 3
_PATIENCE = 30.0


class NatsCluster:
    """A cluster with JetStream on files, each commit on the disk before its answer unless ``sync_always`` is off.

    Clients are told of no other servers than those that they know: so each can be given a wire of its own to each.
    """

    def __init__(self, directory, token=None, *, sync_always=True):
        self.token = token
        routes = [free_port() for _ in range(NODES)]
        self.nodes = [
            LocalNats(directory / f"n{number}", free_port(), token, sync_always=sync_always, more=membership(number, routes))
            for number in range(1, NODES + 1)
        ]

    @property
    def url(self):
        """The addresses of all nodes."""
        return ",".join(node.url for node in self.nodes)

    async def start(self):
        """Start all nodes, and wait until they have a leader."""
        await asyncio.gather(*(node.start() for node in self.nodes))
        async with asyncio.timeout(_PATIENCE):
            while not await self._has_leader():
                await asyncio.sleep(0.1)

    async def stop(self):
        """End all nodes; one that is frozen, too."""
        await asyncio.gather(*(node.stop(signal.SIGKILL) for node in self.nodes))

    async def kill(self, node):
        """End a node as a power cut does, as far as the process goes."""
        await node.stop(signal.SIGKILL)

    @contextlib.contextmanager
    def paused(self, node):
        """Freeze a node while the block runs."""
        os.kill(node.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(node.process.pid, signal.SIGCONT)

    async def leader(self, stream):
        """Return the node that leads a stream; None during an election."""
        details = [await self._streams(node) for node in self.nodes]
        names = {detail["cluster"].get("leader") for streams in details for detail in streams if detail["name"] == stream}
        names.discard(None)
        # During a change the nodes disagree, or still name the one that is gone.
        alive = [node for node in self.nodes if node.process.returncode is None and node.directory.name in names]
        return alive[0] if len(names) == len(alive) == 1 else None

    async def until_leader(self, stream):
        """Wait for a stream's leader, and return it."""
        async with asyncio.timeout(_PATIENCE):
            while (node := await self.leader(stream)) is None:
                await asyncio.sleep(0.1)
        return node

    async def _has_leader(self):
        try:
            async with httpx.AsyncClient(timeout=2) as client:
                answers = [(await client.get(f"{node.monitoring_url}/jsz")).json() for node in self.nodes]
        except httpx.HTTPError:
            return False
        leaders = {answer.get("meta_cluster", {}).get("leader") for answer in answers}
        return len(leaders) == 1 and None not in leaders and "" not in leaders

    @staticmethod
    async def _streams(node):
        if node.process.returncode is not None:
            return []
        try:
            async with httpx.AsyncClient(timeout=1) as client:
                answer = (await client.get(f"{node.monitoring_url}/jsz", params={"streams": "1"})).json()
        except httpx.HTTPError:
            return []
        accounts = answer.get("account_details") or []
        return [detail for account in accounts for detail in account.get("stream_detail") or [] if detail.get("cluster")]


def membership(number, routes):
    addresses = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    return [
        f"server_name: n{number}",
        f'cluster {{ name: stagedoor, listen: "127.0.0.1:{routes[number - 1]}", routes: [{addresses}], no_advertise: true }}',
    ]

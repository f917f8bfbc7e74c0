"""A real HTTP proxy, led by the rules of Kubernetes' Ingress objects: what an ingress controller is."""

import asyncio
import json
import sysconfig
from pathlib import Path

import httpx

from cli.nats_server import die_with_parent
from tests.support.ports import free_port

PROGRAM = Path(sysconfig.get_path("scripts")) / "caddy"
_START_SECONDS = 20
_DIAL_SECONDS = 10
"""For so long a request waits for a backend that takes connections."""


class Proxy:
    """Listens on one port of loopback.

    Args:
        rewrite_host: have backends see their own address as Host, as a proxy that is set up wrongly does.
    """

    def __init__(self, *, rewrite_host=False):
        self.port = free_port()
        self._control = free_port()
        self._rewrite_host = rewrite_host
        self._process = None
        self._routes = []

    @property
    def address(self):
        """What it is called by."""
        return f"127.0.0.1:{self.port}"

    async def start(self):
        """Start it, leading nowhere."""
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM,
            "run",
            "--config",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        self._process.stdin.write(json.dumps(self._configuration()).encode())
        self._process.stdin.close()
        async with asyncio.timeout(_START_SECONDS):
            while not await self._listens():
                await asyncio.sleep(0.05)

    async def stop(self):
        """End it."""
        self._process.terminate()
        await self._process.wait()

    async def lead(self, ingresses, backends, pages=()):
        """Follow some Ingress objects, for their paths under this proxy's own address.

        Args:
            ingresses: the objects.
            backends: a Service's name to addresses (``host:port``).
            pages: what it serves itself: pairs of a path and HTML.
        """
        paths = [path for ingress in ingresses for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        self._routes = [_page(*page) for page in pages]
        self._routes += [self._route(path, backends.get(path["backend"]["service"]["name"], ())) for path in paths]
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"http://127.0.0.1:{self._control}/load", json=self._configuration())
            answer.raise_for_status()

    def _route(self, path, addresses):
        match = path["path"] if path["pathType"] == "Exact" else f"{path['path'].rstrip('/')}/*"
        if not addresses:
            return {"match": [{"path": [match]}], "handle": [{"handler": "static_response", "status_code": 503}]}
        handler = {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": address} for address in addresses],
            "load_balancing": {"selection_policy": {"policy": "round_robin"}, "try_duration": f"{_DIAL_SECONDS}s"},
            # A WebSocket outlives a change of the routes.
            "stream_close_delay": "1h",
        }
        if self._rewrite_host:
            handler["headers"] = {"request": {"set": {"Host": ["{http.reverse_proxy.upstream.hostport}"]}}}
        return {"match": [{"path": [match]}], "handle": [handler]}

    def _configuration(self):
        server = {"listen": [self.address], "routes": self._routes, "automatic_https": {"disable": True}}
        return {
            "admin": {"listen": f"127.0.0.1:{self._control}", "config": {"persist": False}},
            "logging": {"logs": {"default": {"level": "ERROR"}}},
            "apps": {"http": {"servers": {"ingress": server}}},
        }

    async def _listens(self):
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://127.0.0.1:{self._control}/config/")).is_success
        except httpx.TransportError:
            return False


def _page(path, html):
    headers = {"Content-Type": ["text/html; charset=utf-8"]}
    return {"match": [{"path": [path]}], "handle": [{"handler": "static_response", "headers": headers, "body": html}]}

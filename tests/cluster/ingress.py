"""The way into an installation in a cluster."""

import asyncio
import contextlib

from tests.cluster.kube import KubectlError

_POLL_SECONDS = 0.3


class Ingress:
    """Has a proxy follow the cluster, as an ingress controller does."""

    def __init__(self, release, proxy, pages=()):
        self._release = release
        self._proxy = proxy
        self._pages = pages
        self.only = None
        """Lead to the gateways of these addresses only."""

    @property
    def address(self):
        """What people and back ends call."""
        return self._proxy.address

    async def follow(self):
        """Follow until cancelled."""
        led = None
        while True:
            with contextlib.suppress(KubectlError):
                ingresses, backends = await asyncio.gather(self._release.kube.get("ingress"), self._release.backends())
                if self.only is not None:
                    backends[f"{self._release.name}-stagedoor-edge-gateway"] = self.only
                if (ingresses, backends) != led:
                    await self._proxy.lead(ingresses, backends, self._pages)
                    led = ingresses, backends
            await asyncio.sleep(_POLL_SECONDS)

"""Through a real proxy that follows the chart's own Ingress objects."""

import contextlib

import httpx

from tests.support.chart import CHART, complete, render, values_of
from tests.support.proxy import Proxy


@contextlib.asynccontextmanager
async def proxied(system, directory, **options):
    """A proxy before an installation."""
    objects = render(complete(directory), values_of(CHART.parent / "examples/production.yaml"))
    ingresses = [each for each in objects if each["kind"] == "Ingress"]
    services = {"rooms-stagedoor-admin-api": "admin_api", "rooms-stagedoor-edge-gateway": "edge_gateway"}
    proxy = Proxy(**options)
    await proxy.start()
    try:
        await proxy.lead(ingresses, {service: [f"127.0.0.1:{system.ports[name]}"] for service, name in services.items()})
        yield proxy
    finally:
        await proxy.stop()


async def test_a_kick_passes_and_health_does_not(system, tmp_path):
    """The signature counts, for Host is what the caller signed; the WebSocket passes, too. Health is the cluster's business."""
    async with proxied(system, tmp_path) as proxy, httpx.AsyncClient() as client:
        url = f"http://{proxy.address}"
        code, printed = await system.stagedoor("check", "--gateway", url, "--admin", url)
        passed = {path: bool((await client.get(url + path)).content) for path in ("/livez", "/readyz", "/sdk/trtc.js")}
    assert code == 0, printed
    assert printed.rstrip().endswith("confirmed")
    # Where there is no rule, the proxy answers with nothing.
    assert passed == {"/livez": False, "/readyz": False, "/sdk/trtc.js": True}


async def test_a_proxy_that_rewrites_host_is_found_out(system, tmp_path):
    """What was signed is not what came."""
    async with proxied(system, tmp_path, rewrite_host=True) as proxy:
        url = f"http://{proxy.address}"
        code, printed = await system.stagedoor("check", "--gateway", url, "--admin", url)
    assert code == 1
    assert "AuthFailure.SignatureFailure" in printed

"""An installation in a real cluster, installed by the real Helm. The tests of one file follow each other on it, in order.

Needed: `KUBECONFIG`, kubectl, images that the cluster has, and a machine that reaches its nodes and pods (one of the nodes). Settings:

    STAGEDOOR_TEST_IMAGES  image.repository (localhost/stagedoor)      STAGEDOOR_TEST_TAGS  two tags, before and after an upgrade (1 2)
    STAGEDOOR_TEST_NATS    an image of nats-server 2.12 (localhost/nats:1)
    STAGEDOOR_TEST_CUT, STAGEDOOR_TEST_MEND   shell commands that cut the node "$NODE" off from the others, and join it again
    STAGEDOOR_TEST_CUT_SECONDS  how long that lasts after the cluster has noticed (0)
    STAGEDOOR_TEST_OUTAGE  how long NATS is away, in seconds (90)
    STAGEDOOR_TEST_METRIC  a shell command that has the custom metric be "$VALUE" for each gateway
"""

import asyncio
import contextlib
import json
import os
import secrets
from pathlib import Path

import pytest
import pytest_asyncio

from tests.cluster.bus import Bus
from tests.cluster.ingress import Ingress
from tests.cluster.kube import Kube, Release
from tests.faults.installation import API_SECRET, APP, SECRET, SECRET_ID
from tests.faults.steady import Load
from tests.support.proxy import Proxy

HERE = Path(__file__).parent
PAGE = '<!doctype html><meta charset="utf-8"><title>test</title><script src="/sdk/trtc.js"></script>'


def pytest_collection_modifyitems(items):
    """Everything lives as long as the session, in its loop."""
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def values(tag, **more):
    """What is installed: two gateways on NodePorts, behind an ingress."""
    ingress = {"enabled": True, "host": "rooms.example"}
    gateway = {
        "replicas": 2,
        "trustedProxies": "0.0.0.0/0",
        "media": {"mode": "nodePort"},
        "ingress": ingress,
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "settings": {"STAGEDOOR_JOINS_PER_SECOND": 2000, "STAGEDOOR_FAILED_JOINS_PER_MINUTE": 100000},
    }
    return {
        "image": {"repository": os.environ.get("STAGEDOOR_TEST_IMAGES", "localhost/stagedoor"), "tag": tag},
        "apps": {"file": {"existingSecret": "apps", "gatewayKey": "gateways.json"}},
        "metrics": {"enabled": True},
        "bus": {"url": "tls://nats:4222", "nkeys": {"existingSecret": "nkeys"}, "ca": {"existingSecret": "nkeys", "key": "ca.pem"}},
        "roomRegistry": {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}},
        "adminApi": {"ingress": ingress, "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}},
        "edgeGateway": gateway | more,
    }


@pytest.fixture(scope="session")
def tags():
    """The images before and after an upgrade."""
    return os.environ.get("STAGEDOOR_TEST_TAGS", "1 2").split()


@pytest.fixture(scope="session")
def bus(tmp_path_factory):
    """The keys of the bus."""
    return Bus(tmp_path_factory.mktemp("bus"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kube(bus):
    """A namespace of the run's own, with a bus and the secrets; it is deleted in the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG says which cluster; see tests/cluster/conftest.py")
    it = Kube(f"stagedoor-{secrets.token_hex(3)}")
    await it.kubectl("create", "namespace", it.namespace)
    try:
        for name, files in {"nats": bus.of_the_server(), "nkeys": bus.of_the_services()}.items():
            await it.kubectl("create", "secret", "generic", name, *(f"--from-file={path}" for path in files))
        await it.kubectl("create", "secret", "generic", "apps", *(f"--from-literal={name}={content}" for name, content in apps().items()))
        (node, *_others) = [each["metadata"]["labels"]["kubernetes.io/hostname"] for each in await it.get("nodes")]
        manifest = (HERE / "nats.yaml").read_text()
        await it.apply(
            manifest.replace("IMAGE", os.environ.get("STAGEDOOR_TEST_NATS", "localhost/nats:1"))
            .replace("NODE", node)
            .replace("PLACE", it.namespace)
        )
        await it.kubectl("rollout", "status", "statefulset", "nats", "--timeout=120s")
        yield it
    finally:
        if not os.environ.get("STAGEDOOR_TEST_KEEP"):
            await it.kubectl("delete", "namespace", it.namespace, "--wait=false")


def apps(**more):
    """Return the files of apps by name, the gateways' without credentials."""
    app = {"sdk_app_id": APP, "secret_key": SECRET} | more
    several = {"apps.json": app | {"credentials": {SECRET_ID: API_SECRET}}, "gateways.json": app}
    return {name: json.dumps({"apps": [each]}) for name, each in several.items()}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def release(kube, tags, tmp_path_factory):
    """The installation."""
    it = Release(kube, tmp_path_factory.mktemp("charts"))
    await it.install(values(tags[0]))
    return it


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ingress(release):
    """A proxy that follows the cluster's Ingress objects, and serves an empty page that loads the SDK."""
    proxy = Proxy()
    await proxy.start()
    it = Ingress(release, proxy, [("/page", PAGE)])
    following = asyncio.create_task(it.follow())
    try:
        yield it
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await proxy.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def load(ingress, kube, bus, tmp_path):
    """People and back ends, from the test's beginning to its end, and then nothing that was promised may be broken."""
    url = f"http://{ingress.address}"
    it = Load(tmp_path, lambda: {"proxy": url}, lambda: [f"{url}/"])
    it.start()
    try:
        await kube.until(lambda: asyncio.sleep(0, it.journal.counts.get("joined", 0) >= len(it.visitors)), "everybody has come")
        yield it
    finally:
        (nats,) = await kube.get("pods", "-l", "app=nats")
        it.violations, it.history = await it.end(lambda: bus.connect(nats["status"]["podIP"]))
        print(f"seen: {it.journal.counts}")  # noqa: T201 -- for who runs it
    assert not it.violations, "\n".join(map(str, it.violations[:5]))
    for look in it.checks:
        look(it)

"""What an operator does to an installation, and what the people in the rooms notice of it."""

import asyncio
import json
import os
import random
import time

import pytest
from stagedoor_client import RefusedError, SignallingClient

from shared.auth.apps import App
from shared.auth.usersig import sign
from tests.browser.chromium import FAKE_DEVICES, chromium
from tests.browser.conftest import WATCH
from tests.browser.visitors import BANNED, Application, is_out
from tests.cluster.conftest import apps, values
from tests.faults.installation import APP, SECRET
from tests.faults.journal import Journal
from tests.faults.operators import BackEnd
from tests.faults.steady import endings, harms


class Signer:
    """What an application needs to know."""

    app = APP

    @staticmethod
    def sign(user):
        return sign(App(APP, SECRET), user, int(time.time()), 600)


async def shell(command, **environment):
    process = await asyncio.create_subprocess_shell(command, env=os.environ | environment)
    assert await process.wait() == 0, command


def restarts(pods):
    return {pod["metadata"]["name"]: status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"]}


def nobody_was_harmed(load):
    """Every call was answered, and every session ended as somebody wanted."""
    assert not harms(load.history)


def nobody_timed_out(load):
    """Every session ended as somebody wanted."""
    assert not endings(load.history)


async def test_an_installation_works(release):
    """`helm install`, and what `helm test` does: a join, a kick by the server API, the notice."""
    await release.test()


async def test_a_kick_reaches_a_browser_on_a_node_port(release, ingress, tmp_path):
    """Through the ingress; media through the NodePort; and no packet arrives after the notice."""
    (first, *_others) = await release.pods("edge-gateway")
    ingress.only = [f"{first['status']['podIP']}:8080"]
    journal = Journal(tmp_path / "log.jsonl")
    back_end = BackEnd(journal, lambda: [f"http://{ingress.address}/"], random.Random())  # noqa: S311 -- no secret
    try:
        async with chromium(tmp_path / "profile", FAKE_DEVICES) as browser:
            ann, bob = [await application(browser, ingress.address, user) for user in ("ann", "bob")]
            await ann.publish()
            await bob.hears("stream-added", "ann")
            assert (await bob.subscribe("ann")) == {"resolved": True}
            await bob.sees("ann")
            answer = await back_end.remove(7, ["ann"])
            assert [each["State"] for each in answer["Removed"]] == ["confirmed"]
            heard = await is_out(ann, ("connection-state-changed", "CONNECTED", "DISCONNECTED"), BANNED)
            assert heard.count(BANNED) == 1
            await bob.hears("peer-leave", "ann")
    finally:
        ingress.only = None
        await back_end.close()
        journal.close()


async def application(browser, address, user):
    context = await browser.new_context()
    await context.grant_permissions(["camera", "microphone"], origin=f"http://{address}")
    await context.add_init_script(WATCH)
    page = await context.new_page()
    await page.goto(f"http://{address}/page")
    it = Application(Signer, page, user, 7)
    await it.prepare()
    assert await it.join() == {"resolved": True}
    return it


async def test_a_key_is_added_without_a_restart(release, kube):
    """A pod sees the changed Secret after a while, and each gateway then takes UserSigs of the new key."""
    before = restarts(await release.pods("edge-gateway"))
    await kube.kubectl("patch", "secret", "apps", "-p", json.dumps({"stringData": apps(accepted_keys=["the-next-key"])}))
    for pod in await release.pods("edge-gateway"):
        address = f"http://{pod['status']['podIP']}:8080"

        async def taken(address=address):
            try:
                async with SignallingClient.open(address) as client:
                    await client.join(app=APP, user="next", sig=sign(App(APP, "the-next-key"), "next", int(time.time()), 60), room="keys")
                    await client.leave()
            except RefusedError:
                return False
            return True

        await kube.until(taken, "the new key counts")
    assert restarts(await release.pods("edge-gateway")) == before


async def test_a_rolling_upgrade_under_load_is_noticed_by_nobody(release, load, tags):
    """All three services are replaced: no command is lost, no session ends by it, every victim is told once."""
    before = {pod["metadata"]["uid"] for name in ("room-registry", "admin-api", "edge-gateway") for pod in await release.pods(name)}
    await release.upgrade(values(tags[1]))
    after = {pod["metadata"]["uid"] for name in ("room-registry", "admin-api", "edge-gateway") for pod in await release.pods(name)}
    assert not before & after
    load.checks.append(nobody_was_harmed)


async def test_a_rollback_under_load_is_noticed_by_nobody(release, load, tags):
    """The same, backwards."""
    await release.rollback(1)
    for name in ("room-registry", "admin-api", "edge-gateway"):
        for pod in await release.pods(name):
            assert pod["spec"]["containers"][0]["image"].endswith(f":{tags[0]}")
    load.checks.append(nobody_was_harmed)


async def test_a_node_is_drained_within_the_budgets(release, kube, load):
    """Its pods go one of a kind at a time, and come back elsewhere."""
    (nats,) = await kube.get("pods", "-l", "app=nats")
    gateways = await release.pods("edge-gateway")
    node = next(pod["spec"]["nodeName"] for pod in gateways if pod["spec"]["nodeName"] != nats["spec"]["nodeName"])
    try:
        await kube.kubectl("drain", node, "--ignore-daemonsets", "--timeout=150s")
        await release.ready()
        assert node not in {pod["spec"]["nodeName"] for pod in await release.pods("edge-gateway")}
    finally:
        await kube.kubectl("uncordon", node)
    load.checks.append(nobody_was_harmed)


async def test_a_node_that_is_cut_off_ends_no_session(release, kube, load):
    """Its people go on at the other gateway."""
    command, mend = os.environ.get("STAGEDOOR_TEST_CUT"), os.environ.get("STAGEDOOR_TEST_MEND")
    if not command or not mend:
        pytest.skip("STAGEDOOR_TEST_CUT and STAGEDOOR_TEST_MEND are not set")
    (nats,) = await kube.get("pods", "-l", "app=nats")
    lost = next(pod for pod in await release.pods("edge-gateway") if pod["spec"]["nodeName"] != nats["spec"]["nodeName"])
    await shell(command, NODE=lost["spec"]["nodeName"])
    try:
        load.cut()

        async def noticed():
            led = (await release.backends())["rooms-stagedoor-edge-gateway"]
            return led and f"{lost['status']['podIP']}:8080" not in led

        await kube.until(noticed, "the cluster notices")
        load.cut()
        # With a minute more, the gateway there is declared lost, and starts anew when it hears of that.
        await asyncio.sleep(float(os.environ.get("STAGEDOOR_TEST_CUT_SECONDS", "0")))
    finally:
        await shell(mend, NODE=lost["spec"]["nodeName"])
    await release.ready()
    load.checks.append(nobody_timed_out)


async def test_nothing_restarts_while_nats_is_away(release, kube, load):
    """Liveness does not ask for NATS; readiness does; and all comes back by itself, with everybody who was there."""
    components = ("room-registry", "admin-api", "edge-gateway")
    before = [restarts(await release.pods(name)) for name in components]
    await kube.kubectl("scale", "statefulset", "nats", "--replicas=0")

    async def nobody_is_ready():
        backends = await release.backends()
        return not backends["rooms-stagedoor-admin-api"] and not backends["rooms-stagedoor-edge-gateway"]

    await kube.until(nobody_is_ready, "nobody is ready without NATS")
    # Longer than liveness takes to give up.
    await asyncio.sleep(float(os.environ.get("STAGEDOOR_TEST_OUTAGE", "90")))
    await kube.kubectl("scale", "statefulset", "nats", "--replicas=1")
    await release.ready()
    assert [restarts(await release.pods(name)) for name in components] == before
    await release.test()
    load.checks.append(nobody_timed_out)


async def test_a_custom_metric_scales_gateways(release, kube, tags):
    """Three gateways where each has too many sessions for two."""
    command = os.environ.get("STAGEDOOR_TEST_METRIC")
    if not command:
        pytest.skip("STAGEDOOR_TEST_METRIC is not set")
    await shell(command, VALUE="10")
    scaled = {"autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 3, "sessionsPerGateway": 100}}
    await release.upgrade(values(tags[0], **scaled))
    await shell(command, VALUE="140")

    async def three():
        return len(await release.pods("edge-gateway")) == 3

    await kube.until(three, "a third gateway")
    await release.ready()

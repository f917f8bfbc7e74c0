"""A cluster, by kubectl and by Helm; KUBECONFIG says which."""

import asyncio
import contextlib
import json
import os
import time

import helm_python as helm
import yaml

from tests.cluster.old_api import OLDEST, in_old_words
from tests.support.chart import complete, render

_CHART = "apiVersion: v2\nname: stagedoor\nversion: 0.1.0\nappVersion: 0.1.0\n"
_SECONDS = 180


class KubectlError(Exception):
    """What kubectl had to say."""


class Kube:
    """One namespace of a cluster."""

    def __init__(self, namespace):
        self.namespace = namespace

    async def kubectl(self, *arguments, stdin=None):
        """Run kubectl; returns what it printed.

        Raises:
            KubectlError: it failed.
        """
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            "--namespace",
            self.namespace,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, complaint = await process.communicate(None if stdin is None else stdin.encode())
        if process.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {complaint.decode()}")
        return printed.decode()

    async def get(self, *arguments):
        """Return an object, or the items of a list."""
        found = json.loads(await self.kubectl("get", *arguments, "-o", "json"))
        return found.get("items", found)

    async def apply(self, text):
        """Apply manifests."""
        await self.kubectl("apply", "-f", "-", stdin=text)

    async def until(self, condition, what, seconds=_SECONDS):
        """Ask until a condition holds; returns what it returned."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    with contextlib.suppress(KubectlError):
                        if result := await condition():
                            return result
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise AssertionError(f"not after {seconds} s: {what}\n{await self.kubectl('get', 'pods', '-o', 'wide')}") from None

    async def minor(self):
        """Return the minor version of the API server."""
        return int(json.loads(await self.kubectl("version", "-o", "json"))["serverVersion"]["minor"].rstrip("+"))


class Release:
    """Stagedoor in a namespace."""

    name = "rooms"

    def __init__(self, kube, directory):
        self.kube = kube
        self._directory = directory
        self._revisions = 0

    async def install(self, values):
        """Install, and wait until everything is ready."""
        await self._act("install", values)

    async def upgrade(self, values):
        """Upgrade, and wait until everything is new and ready."""
        await self._act("upgrade", values)

    async def rollback(self, revision):
        """Go back to a revision."""
        await asyncio.to_thread(self._config(lambda config: config.rollback(self.name, version=revision, timeout=_SECONDS)))
        await self.ready()

    async def test(self):
        """Run what `helm test` runs; raises where that fails."""
        return await asyncio.to_thread(self._config(lambda config: config.test(self.name, timeout=_SECONDS)))

    async def ready(self):
        """Wait until every workload has as many ready pods of its newest kind as it should."""
        for kind in ("deployment", "statefulset"):
            for each in await self.kube.get(kind, "-l", "app.kubernetes.io/part-of=stagedoor"):
                await self.kube.kubectl("rollout", "status", kind, each["metadata"]["name"], f"--timeout={_SECONDS}s")

    async def pods(self, component):
        """Return a service's pods that are not about to end."""
        pods = await self.kube.get("pods", "-l", f"app.kubernetes.io/component={component}")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    async def backends(self):
        """Return the addresses of each Service's ready pods."""
        found = {}
        for each in await self.kube.get("endpoints"):
            for subset in each.get("subsets") or ():
                ports = [port["port"] for port in subset["ports"] if port.get("name") == "http"]
                found[each["metadata"]["name"]] = [f"{address['ip']}:{port}" for address in subset.get("addresses", ()) for port in ports]
        return found

    async def _act(self, action, values):
        chart = await self._chart(values)
        began = time.monotonic()
        await asyncio.to_thread(
            self._config(lambda config: getattr(config, action)(chart, self.name, **self._values(values), timeout=_SECONDS))
        )
        await self.ready()
        print(f"{action}: ready after {time.monotonic() - began:.0f} s")  # noqa: T201 -- for who runs it

    def _values(self, values):
        return {"values": values} if self._modern else {}

    async def _chart(self, values):
        """Return the chart, or for an older cluster one that holds what it renders."""
        self._revisions += 1
        directory = self._directory / str(self._revisions)
        directory.mkdir()
        chart = complete(directory)
        self._modern = await self.kube.minor() >= OLDEST
        if self._modern:
            return chart
        rendered = directory / "rendered"
        (rendered / "templates").mkdir(parents=True)
        (rendered / "Chart.yaml").write_text(_CHART)
        objects = in_old_words(render(chart, values, release=self.name, namespace=self.kube.namespace))
        (rendered / "templates/all.yaml").write_text(yaml.safe_dump_all(objects))
        return rendered

    def _config(self, use):
        def act():
            with contextlib.closing(helm.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=self.kube.namespace)) as config:
                return use(config)

        return act

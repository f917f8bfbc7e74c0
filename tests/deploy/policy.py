"""What every object of the chart has to be, as a function from objects to complaints."""

import re
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

WORKLOADS = ("Deployment", "StatefulSet")
LABELS = frozenset(
    {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of", "version", "managed-by")} | {"helm.sh/chart"}
)
"""All that there are: each has few values in a cluster, and none changes while a release lives but with the chart."""
_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_SECRET = re.compile(r"SECRET|TOKEN|SEED|KEY(?!_FILE)|PASSWORD|SDK_APP_ID")
_POD_NAME_SUFFIX = 11
"""What Kubernetes appends to a StatefulSet's name in a label of its pods."""
_LONGEST = 63


def complaints(objects: list[Object]) -> Iterator[str]:
    """Yield what is wrong with any of the objects of a release."""
    for each in objects:
        where = f"{each['kind']} {each['metadata']['name']}"
        yield from (f"{where}: {text}" for text in _of_object(each))
        if (pod := pod_of(each)) is not None:
            yield from (f"{where}: {text}" for text in _of_pod(pod, objects))
        if each["kind"] in WORKLOADS:
            yield from (f"{where}: {text}" for text in _of_workload(each["spec"]["template"]["spec"]))
    yield from _of_release(objects)


def pod_of(each: Object) -> Object | None:
    """Return an object's pod, or None."""
    if each["kind"] == "Pod":
        return each["spec"]
    return each["spec"]["template"]["spec"] if each["kind"] in WORKLOADS else None


def _of_object(each: Object) -> Iterator[str]:
    suffix = _POD_NAME_SUFFIX if each["kind"] == "StatefulSet" else 0
    if len(each["metadata"]["name"]) + suffix > _LONGEST:
        yield "the name is too long"
    if each["kind"] == "Secret":
        yield "a secret in the release's own objects"
    for labels in (each["metadata"]["labels"], each.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})):
        # Prometheus' operator is told which PodMonitors are its by labels of its own.
        if each["kind"] != "PodMonitor":
            yield from (f"label {name} is not one of ours" for name in sorted(set(labels) - LABELS))
        yield from (f"label {name}={value} is no label" for name, value in labels.items() if not _VALUE.fullmatch(value))
    yield from (f"port {port} says no protocol" for port in _ports(each) if "protocol" not in port)


def _ports(node: Any) -> Iterator[Object]:
    """Yield every port of an object, wherever it stands."""
    if isinstance(node, dict):
        for name, child in node.items():
            if name == "ports":
                yield from child
            else:
                yield from _ports(child)
    elif isinstance(node, list):
        for child in node:
            yield from _ports(child)


def _of_pod(pod: Object, objects: list[Object]) -> Iterator[str]:
    context = pod.get("securityContext", {})
    if not context.get("runAsNonRoot") or not context.get("runAsUser"):
        yield "may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "has a token of the API server"
    accounts = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ServiceAccount"}
    if accounts.get(pod.get("serviceAccountName"), {}).get("automountServiceAccountToken") is not False:
        yield "its service account is not one of the release's, or gives tokens"
    for forbidden in ("hostPID", "hostIPC", "shareProcessNamespace"):
        if pod.get(forbidden):
            yield forbidden
    yield from (f"volume {volume['name']} is the node's" for volume in pod.get("volumes", []) if "hostPath" in volume)
    for container in pod["containers"]:
        yield from _of_container(container)


def _of_container(container: Object) -> Iterator[str]:
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    if container.get("securityContext") != wanted:
        yield "has more rights than none"
    requests, limits = (container.get("resources", {}).get(name, {}) for name in ("requests", "limits"))
    if not {"cpu", "memory"} <= set(requests) or "memory" not in limits:
        yield "asks for nothing, or is not bounded in memory"
    if container["image"].rpartition(":")[2] in {"", "latest"}:
        yield "its image has no tag"
    for variable in container["env"]:
        if _SECRET.search(variable["name"]) and "secretKeyRef" not in variable.get("valueFrom", {}):
            yield f"{variable['name']} does not come from a Secret"


def _of_workload(pod: Object) -> Iterator[str]:
    (container,) = pod["containers"]
    alive, ready, started = (container.get(f"{name}Probe", {}).get("httpGet", {}) for name in ("liveness", "readiness", "startup"))
    if alive.get("path") != "/livez" or ready.get("path") != "/readyz" or not started:
        yield "its probes are not told apart: who is not ready would be killed, or nobody would wait for a start"
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    drain, stop = (float(env.get(f"STAGEDOOR_{name}_SECONDS") or 0) for name in ("DRAIN", "STOP"))
    if not sleep:
        yield "requests are still led here when it ends"
    if not stop or pod["terminationGracePeriodSeconds"] <= sleep + drain + stop:
        yield "is killed before its graceful end is over"
    if not pod.get("affinity", {}).get("podAntiAffinity") or not pod.get("topologySpreadConstraints"):
        yield "all of it may be on one node"


def _of_release(objects: list[Object]) -> Iterator[str]:
    workloads = [each for each in objects if each["kind"] in WORKLOADS]
    for kind, field in (("Service", "selector"), ("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for each in objects:
            if each["kind"] == kind and len(_selected(each["spec"][field], workloads)) != 1:
                yield f"{kind} {each['metadata']['name']} does not select one workload"
    for workload in workloads:
        budgets = [each for each in objects if each["kind"] == "PodDisruptionBudget" and _selected(each["spec"]["selector"], [workload])]
        if len(budgets) != 1:
            yield f"{workload['kind']} {workload['metadata']['name']} has {len(budgets)} disruption budgets"
    for each in objects:
        if each["kind"] == "HorizontalPodAutoscaler":
            target = each["spec"]["scaleTargetRef"]
            found = [
                workload for workload in workloads if (workload["kind"], workload["metadata"]["name"]) == (target["kind"], target["name"])
            ]
            if len(found) != 1 or "replicas" in found[0]["spec"]:
                yield f"HorizontalPodAutoscaler {each['metadata']['name']} has no target, or one whose number each upgrade resets"


def _selected(selector: Object, workloads: list[Object]) -> list[Object]:
    wanted = selector.get("matchLabels", selector).items()
    return [each for each in workloads if wanted <= each["spec"]["template"]["metadata"]["labels"].items()]

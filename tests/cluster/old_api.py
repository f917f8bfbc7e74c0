"""The chart's objects in the words of Kubernetes 1.20, for test clusters that are older than what the chart is for."""

import copy

OLDEST = 30
"""The minor version from which on nothing has to be changed."""
_VERSIONS = {"autoscaling/v2": "autoscaling/v2beta2", "policy/v1": "policy/v1beta1"}


def in_old_words(objects):
    """Return the same objects as an API server of 1.20 takes them."""
    return [_translated(copy.deepcopy(each)) for each in objects]


def _translated(each):
    each["apiVersion"] = _VERSIONS.get(each["apiVersion"], each["apiVersion"])
    if each["kind"] == "PodDisruptionBudget":
        del each["spec"]["unhealthyPodEvictionPolicy"]
    if each["kind"] == "NetworkPolicy":
        for rule in each["spec"]["egress"]:
            for port in rule["ports"]:
                if port.pop("endPort", None):
                    del port["port"]
    if each["kind"] in {"Deployment", "StatefulSet"}:
        for container in each["spec"]["template"]["spec"]["containers"]:
            seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            sleep = ["/opt/stagedoor/bin/python", "-c", f"import time; time.sleep({seconds})"]
            container["lifecycle"] = {"preStop": {"exec": {"command": sleep}}}
    return each

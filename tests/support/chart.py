"""The Helm chart, rendered by the real Helm."""

import contextlib
import shutil
from pathlib import Path

import helm_python as helm
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm/stagedoor"
EXAMPLES = sorted((DEPLOY / "helm/examples").glob("*.yaml"))
_NATS = "apiVersion: v2\nname: nats\nversion: 2.12.0\n"


def complete(directory):
    """Copy the chart to where its dependency is: an empty chart that bears the official one's name."""
    chart = shutil.copytree(CHART, directory / "stagedoor")
    nats = chart / "charts/nats"
    nats.mkdir(parents=True)
    (nats / "Chart.yaml").write_text(_NATS)
    (nats / "templates").mkdir()
    (nats / "templates/values.yaml").write_text("# {{ .Values | toJson }}\n")
    return chart


def values_of(path):
    """Read a file of values."""
    return yaml.safe_load(path.read_text())


def render(chart, values, *, release="rooms", namespace="media"):
    """Render a chart; returns the objects.

    Raises:
        HelmError: the schema, or the chart, refuses the values.
    """
    rendered = manifests(chart, values, release, namespace)
    texts = [text for path, text in rendered.items() if path.endswith(".yaml")]
    return [each for each in yaml.safe_load_all("\n---\n".join(texts)) if each]


def manifests(chart, values, release="rooms", namespace="media"):
    """Render a chart; returns texts by their template's path."""
    with contextlib.closing(helm.Chart.load(chart)) as loaded:
        loaded.validate_schema(values)
        return loaded.render(values, name=release, namespace=namespace)

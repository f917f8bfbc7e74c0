"""What is shipped for Prometheus and Grafana is right, and speaks of metrics that there are."""

import functools
import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

from services.admin_api.metrics import AdminMetrics
from services.edge_gateway.metrics import GatewayMetrics
from services.room_registry.metrics import RegistryMetrics
from shared.contracts.errors import RefusalCode

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy/observability"
METRIC = re.compile(r"\b((?:stagedoor|process|python)_[a-z_]+)(\{[^}]*\})?")
_OF_EVERY_TARGET = {"job", "instance"}


def promtool(*arguments):
    """Run promtool, which `make promtool` brings."""
    program = shutil.which("promtool", path=sysconfig.get_path("scripts")) or shutil.which("promtool")
    assert program, "promtool is missing: run `make promtool`"
    return subprocess.run([program, *arguments], cwd=SHIPPED, capture_output=True, text=True, check=False)


ALL = {RegistryMetrics(): "room_registry", AdminMetrics(): "admin_api", GatewayMetrics(): "edge_gateway"}


def families(metrics):
    """Yield every family that a service may show, with the labels that vary."""
    for collector in metrics.registry._collector_to_names:
        for family in collector.collect():
            yield family, set(getattr(collector, "_labelnames", ())) or set(getattr(family, "_labelnames", ()))


@functools.cache
def there_are():
    """Return every sample's name that a service may show, with its labels."""
    known = {}
    for family, labels in (each for metrics in ALL for each in families(metrics)):
        known[family.name] = labels
        if family.type == "counter":
            known[f"{family.name}_total"] = labels
        if family.type == "histogram":
            known |= {f"{family.name}_{part}": labels | {"le"} for part in ("bucket", "sum", "count")}
        known |= {sample.name: set(sample.labels) for sample in family.samples if not labels}
    return known


def rows():
    """Build the table of docs/metrics.md."""
    shown = {}
    for metrics, service in ALL.items():
        for family, labels in families(metrics):
            if family.name.startswith("stagedoor_"):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                shown.setdefault((name, family.type, ", ".join(sorted(labels)), family.documentation), []).append(service)
    ordered = sorted(shown.items(), key=lambda each: (-len(each[1]), each[1], each[0]))
    return [
        f"| {'all' if len(by) == len(ALL) else ', '.join(by)} | `{name}` | {kind} | {labels} | {about} |"
        for (name, kind, labels, about), by in ordered
    ]


def alerts():
    return yaml.safe_load((SHIPPED / "alerts.yaml").read_text())["groups"][0]["rules"]


def dashboard_expressions():
    panels = json.loads((SHIPPED / "dashboard.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_the_rules_do_what_they_say():
    """Each alert fires where its case says so, and is silent where it says that."""
    outcome = promtool("test", "rules", "alerts_test.yaml")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_configuration_is_one():
    outcome = promtool("check", "config", "prometheus.yaml")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_the_dashboards_expressions_can_be_read(tmp_path):
    """Prometheus parses all of them, once Grafana has put in what is its own."""
    rules = [
        {"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "1m").replace("$job", ".+")}
        for number, expr in enumerate(dashboard_expressions())
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    outcome = promtool("check", "rules", str(path))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in alerts()), *dashboard_expressions()])
def test_only_metrics_that_there_are(expression):
    """Every name and every label in an alert or a panel is one that a service shows."""
    known = there_are()
    for name, selector in METRIC.findall(expression):
        assert name in known, name
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", selector))
        assert asked <= known[name] | _OF_EVERY_TARGET, name


def test_refusals_are_named_as_the_registry_names_them():
    """A code that was renamed would never fire."""
    [expression] = [rule["expr"] for rule in alerts() if rule["alert"] == "StagedoorCommandsRefused"]
    [codes] = re.findall(r'outcome=~"([^"]+)"', expression)
    assert set(codes.split("|")) <= {str(code) for code in RefusalCode}


def test_every_alert_is_tried_and_explained():
    """It has a case in which it fires, and a paragraph that says what to do."""
    cases = (SHIPPED / "alerts_test.yaml").read_text()
    manual = (ROOT / "docs/operations.md").read_text()
    for rule in alerts():
        name = rule["alert"]
        assert re.search(rf'alertname="{name}", alertstate="firing"\}}\)\', exp_samples: \[\{{ value', cases), name
        assert f"\n### {name}\n" in manual, name
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"


def test_every_metric_is_documented():
    """In a table that says what the code says."""
    documented = [line for line in (ROOT / "docs/metrics.md").read_text().splitlines() if "`stagedoor_" in line and line.startswith("|")]
    assert documented == rows()

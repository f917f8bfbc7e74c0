"""The Helm chart, by the real Helm: what it renders, and what it refuses."""

import copy
import functools
import json

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from deploy.helm import values_table
from services.admin_api.settings import AdminSettings
from services.edge_gateway.settings import GatewaySettings
from services.room_registry.settings import RegistrySettings
from tests.deploy.policy import complaints, pod_of
from tests.support.chart import CHART, EXAMPLES, manifests, render, values_of

KUBERNETES = [f"1.{minor}" for minor in range(30, 38)]
LEAST = {"apps": {"existingSecret": "app"}, "bus": {"url": "nats://nats:4222"}}
NODE_PORT, CLUSTER_IP = ({"edgeGateway": {"media": {"mode": mode}}} for mode in ("nodePort", "clusterIP"))
SETTINGS = {"room-registry": RegistrySettings, "admin-api": AdminSettings, "edge-gateway": GatewaySettings}


def merged(*several):
    """Merge values as Helm does."""
    result = {}
    for values in several:
        for name, value in values.items():
            result[name] = merged(result.get(name, {}), value) if isinstance(value, dict) else value
    return result


def one(objects, kind, name):
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    return found


def env(objects, component):
    """The variables of a service's container, with where they come from."""
    (found,) = [each for each in objects if each["kind"] in {"Deployment", "StatefulSet"} and each["metadata"]["name"].endswith(component)]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pod_of(found)["containers"][0]["env"]}


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request):
    return values_of(request.param)


def test_helm_finds_nothing_to_complain_of(chart, example):
    """Warnings count."""
    report = helm.lint(chart, example, strict=True, kube_version="v1.30.0")
    assert not report["errors"]
    assert not [message for message in report["messages"] if message["severity"] > 1]


def test_an_example_keeps_our_rules(chart, example):
    """Probes, graces, rights, names, selectors, secrets: tests/deploy/policy.py."""
    assert not list(complaints(render(chart, example)))


def test_the_longest_release_name_keeps_our_rules(chart):
    """Helm allows 53 characters."""
    assert not list(complaints(render(chart, merged(LEAST, NODE_PORT), release="r" * 53)))


def test_kubernetes_knows_what_is_rendered(chart):
    """Every field of every object, in each version that the chart is for; a PodMonitor is Prometheus' operator's."""
    # The library reads its definitions, some MB, anew for each object.
    kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)
    texts = {
        json.dumps(each, sort_keys=True) for path in EXAMPLES for each in render(chart, values_of(path)) if each["kind"] != "PodMonitor"
    }
    for version in KUBERNETES:
        for text in texts:
            kubernetes_validate.validate(json.loads(text), version, strict=True)


def test_the_rules_are_ones_that_can_be_broken(chart):
    """Each complaint is made where there is cause."""
    objects = render(chart, merged(LEAST, NODE_PORT))
    for path, value, words in BREAKAGES:
        broken = copy.deepcopy(objects)
        _set(one(broken, *path[:2]), path[2:], value)
        assert any(words in complaint for complaint in complaints(broken)), words


GATEWAY = ("StatefulSet", "edge-gateway")
POD = (*GATEWAY, "spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
BREAKAGES = [
    ((*CONTAINER, "livenessProbe", "httpGet", "path"), "/readyz", "probes"),
    ((*CONTAINER, "startupProbe"), {}, "probes"),
    ((*POD, "terminationGracePeriodSeconds"), 15, "killed before"),
    ((*CONTAINER, "lifecycle"), {}, "still led here"),
    ((*POD, "securityContext", "runAsUser"), 0, "as root"),
    ((*POD, "securityContext", "seccompProfile"), {"type": "Unconfined"}, "seccomp"),
    ((*POD, "automountServiceAccountToken"), True, "token"),
    ((*POD, "serviceAccountName"), "default", "service account"),
    ((*POD, "hostPID"), True, "hostPID"),
    ((*POD, "volumes"), [{"name": "v", "hostPath": {"path": "/"}}], "node's"),
    ((*POD, "affinity"), {}, "one node"),
    ((*CONTAINER, "securityContext", "readOnlyRootFilesystem"), False, "rights"),
    ((*CONTAINER, "resources", "limits"), {}, "bounded"),
    ((*CONTAINER, "image"), "stagedoor:latest", "tag"),
    ((*CONTAINER, "env"), [{"name": "STAGEDOOR_SECRET_KEY", "value": "k"}], "does not come from a Secret"),
    ((*CONTAINER, "ports"), [{"containerPort": 1}], "protocol"),
    (("Service", "edge-gateway-media", "spec", "ports"), [{"port": 1}], "protocol"),
    (("Service", "edge-gateway-media", "spec", "selector"), {"app.kubernetes.io/component": "gateway"}, "does not select"),
    (("PodDisruptionBudget", "edge-gateway", "spec", "selector", "matchLabels"), {"a": "b"}, "disruption budgets"),
    (("HorizontalPodAutoscaler", "admin-api", "spec", "scaleTargetRef", "name"), "api", "no target"),
    ((*GATEWAY, "metadata", "labels"), {"pod": "1"}, "not one of ours"),
    ((*GATEWAY, "metadata", "labels"), {"app.kubernetes.io/name": "a b"}, "no label"),
    ((*GATEWAY, "metadata", "name"), "x" * 53, "too long"),
    ((*GATEWAY, "kind"), "Secret", "a secret"),
]


def _set(node, path, value):
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"apps": {"existingSecret": ""}}, "apps.existingSecret is required"),
        ({"apps": {"file": {"existingSecret": "apps"}}}, "one of them"),
        ({"apps": {"file": {"apps": []}}}, "apps"),
        ({"bus": {"url": ""}}, "where is NATS"),
        ({"bus": {"url": "nats://user:password@nats:4222"}}, "bus"),
        ({"bus": {"url": "http://nats"}}, "bus"),
        ({"bus": {"streamReplicas": 2}}, "streamReplicas"),
        ({"bus": {"token": {"existingSecret": "t"}, "nkeys": {"existingSecret": "s"}}}, "give one of them"),
        ({"apps": {"secretKey": "in the open"}}, "secretKey"),
        ({"adminApi": {"settings": {"STAGEDOOR_API_SECRET_KEY": "in the open"}}}, "STAGEDOOR_API_SECRET_KEY"),
        ({"adminApi": {"settings": {"PATH": "/"}}}, "PATH"),
        ({"edgeGateway": {"media": {"mode": "loadBalancer"}}}, "mode"),
        ({"edgeGateway": {"media": {"nodePort": 8082}}}, "nodePort"),
        ({"edgeGateway": {"media": {"port": 443}}}, "port"),
        ({"edgeGateway": {"media": {"advertise": "rooms.example"}}}, "advertise"),
        ({"edgeGateway": {"media": {"engine": "fast"}}}, "engine"),
        ({"edgeGateway": {"media": {"tcpConnections": -1}}}, "tcpConnections"),
        ({"edgeGateway": {"turn": {"urls": "turn:turn.example"}}}, "turn.existingSecret is required"),
        ({"edgeGateway": {"turn": {"urls": "turn.example"}}}, "urls"),
        ({"edgeGateway": {"turn": {"secret": "in the open"}}}, "secret"),
        ({"edgeGateway": {"autoscaling": {"enabled": True}}}, "metrics.enabled is required"),
        ({"metrics": {"discovery": "service"}}, "discovery"),
        ({"metrics": {"interval": "often"}}, "interval"),
        ({"edgeGateway": {"replicas": 0}}, "replicas"),
        ({"edgeGateway": {"podDisruptionBudget": {"maxUnavailable": 0}}}, "maxUnavailable"),
        ({"edgeGateway": {"ingress": {"enabled": True}}}, "host"),
        ({"edgeGateway": {"ingress": {"enabled": True, "host": "rooms.example"}}}, "trustedProxies is required"),
        ({"graces": {"isolation": "forever"}}, "isolation"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"gateway": {"replicas": 2}}, "gateway"),
    ],
)
def test_wrong_values_are_refused(chart, values, words):
    """With words that name the value."""
    with pytest.raises(helm.HelmError, match=words):
        render(chart, merged(LEAST, values))


def test_every_variable_is_a_setting(chart, example):
    """Of the service that is told."""
    objects = render(chart, example)
    for component, settings in SETTINGS.items():
        names = {f"STAGEDOOR_{name.upper()}" for name in settings.model_fields}
        assert set(env(objects, component)) <= names


def test_a_service_is_told_what_its_settings_take(chart, monkeypatch):
    """The defaults of the chart make settings, and those are the services' own defaults where the chart has no reason."""
    objects = render(chart, LEAST)
    for component, settings in SETTINGS.items():
        with monkeypatch.context() as environment:
            for name, value in env(objects, component).items():
                secret = {"STAGEDOOR_SDK_APP_ID": "1", "STAGEDOOR_MEDIA_ADVERTISE": "10.0.0.1"}.get(name, "x")
                environment.setenv(name, value if isinstance(value, str) else secret)
            loaded = settings.load()
            own = {name: field.default for name, field in settings.model_fields.items()}
        for name in (
            "port",
            "isolation_grace",
            "isolation_margin",
            "reconnect_grace",
            "media_port",
            "joins_per_second",
            "media_tcp_connections",
            "media_engine",
            "turn_seconds",
        ):
            assert name not in own or getattr(loaded, name) == own[name], (component, name)


def test_a_service_sees_its_own_seed_and_no_other(chart):
    """Mounted by reference, for nobody but its own group."""
    bus = {"nkeys": {"existingSecret": "seeds"}, "ca": {"existingSecret": "ca"}}
    objects = render(chart, merged(LEAST, {"bus": bus}))
    assert not list(complaints(objects))
    for kind, component in (("Deployment", "room-registry"), ("Deployment", "admin-api"), ("StatefulSet", "edge-gateway")):
        told, pod = env(objects, component), pod_of(one(objects, kind, component))
        (volume,) = pod["volumes"]
        seed, ca = [each["secret"] for each in volume["projected"]["sources"]]
        assert seed == {"name": "seeds", "items": [{"key": f"{component.replace('-', '_')}.nk", "path": "seed"}]}
        assert ca == {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
        assert volume["projected"]["defaultMode"] == 0o440
        (mount,) = pod["containers"][0]["volumeMounts"]
        assert told["STAGEDOOR_NATS_NKEY_FILE"] == f"{mount['mountPath']}/seed"
        assert told["STAGEDOOR_NATS_CA_FILE"] == f"{mount['mountPath']}/ca.crt"


def test_apps_of_a_file_come_as_a_directory(chart):
    """So that a pod sees what changes; gateways may have a file of their own, without credentials; registries have none."""
    file = {"existingSecret": "apps", "gatewayKey": "gateways.json"}
    objects = render(chart, merged(LEAST, {"apps": {"existingSecret": "", "file": file}}))
    assert not list(complaints(objects))
    keys = {"room-registry": None, "admin-api": "apps.json", "edge-gateway": "gateways.json", "check": "apps.json"}
    for each in objects:
        if (pod := pod_of(each)) is None:
            continue
        key, (container,) = keys.pop(each["metadata"]["labels"]["app.kubernetes.io/component"]), pod["containers"]
        told = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert not {"STAGEDOOR_SDK_APP_ID", "STAGEDOOR_SECRET_KEY", "STAGEDOOR_SECRET_ID", "STAGEDOOR_API_SECRET_KEY"} & set(told)
        if key is None:
            assert "STAGEDOOR_APPS_FILE" not in told
            assert "volumes" not in pod
            continue
        (volume,), (mount,) = pod["volumes"], container["volumeMounts"]
        assert volume["secret"]["secretName"] == "apps"
        assert volume["secret"]["items"] == [{"key": key, "path": "apps.json"}]
        assert "subPath" not in mount
        assert told["STAGEDOOR_APPS_FILE"] == f"{mount['mountPath']}/apps.json"
    assert not keys


def test_metrics_have_a_port_of_their_own(chart):
    """On each pod; an ingress and the Services do not lead there, and the NetworkPolicies let nobody from outside the cluster in."""
    objects = render(chart, merged(LEAST, NODE_PORT, {"metrics": {"enabled": True}}))
    assert not list(complaints(objects))
    for each in objects:
        if each["kind"] in {"Deployment", "StatefulSet"}:
            template = each["spec"]["template"]
            ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
            assert template["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
            assert template["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
            assert env(objects, each["metadata"]["name"])["STAGEDOOR_METRICS_PORT"] == str(ports["metrics"])
        elif each["kind"] == "Service":
            assert "metrics" not in {port["targetPort"] for port in each["spec"]["ports"]}
    for name in ("room-registry", "admin-api", "edge-gateway"):
        (rule,) = [
            rule for rule in one(objects, "NetworkPolicy", name)["spec"]["ingress"] if "metrics" in {port["port"] for port in rule["ports"]}
        ]
        assert rule == {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]}


def test_metrics_are_off_unless_asked_for(chart):
    """A port of a node's is nothing to open by the way."""
    for each in ("room-registry", "admin-api", "edge-gateway"):
        assert not [name for name in env(render(chart, LEAST), each) if "METRICS" in name]


def test_prometheus_operator_finds_the_pods(chart):
    """By labels that all pods have; and the alerts' name of the job comes from one of them."""
    objects = render(
        chart, merged(LEAST, {"metrics": {"enabled": True, "discovery": "podMonitor", "podMonitorLabels": {"release": "prometheus"}}})
    )
    (monitor,) = [each for each in objects if each["kind"] == "PodMonitor"]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    workloads = [each["spec"]["template"] for each in objects if each["kind"] in {"Deployment", "StatefulSet"}]
    for template in workloads:
        assert "annotations" not in template["metadata"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert template["metadata"]["labels"][monitor["spec"]["jobLabel"]].startswith("stagedoor")
        assert endpoint["port"] in {port["name"] for port in template["spec"]["containers"][0]["ports"]}


def test_gateways_know_turn_servers_by_reference(chart):
    """The secret that they share comes from a Secret, and nobody else has it."""
    objects = render(chart, merged(LEAST, {"edgeGateway": {"turn": {"urls": "turn:turn.example:3478", "existingSecret": "turn"}}}))
    assert not list(complaints(objects))
    told = env(objects, "edge-gateway")
    assert told["STAGEDOOR_TURN_URLS"] == "turn:turn.example:3478"
    assert told["STAGEDOOR_TURN_SECRET"] == {"secretKeyRef": {"name": "turn", "key": "turn-secret"}}
    assert not [name for name in env(objects, "admin-api") if "TURN" in name]


@pytest.mark.parametrize("connections", [0, 200])
def test_media_over_tcp_has_the_same_ports(chart, connections):
    """In the pod, the Service and the NetworkPolicy; or none at all."""
    objects = render(chart, merged(LEAST, NODE_PORT, {"edgeGateway": {"media": {"workers": 2, "tcpConnections": connections}}}))
    assert not list(complaints(objects))
    assert env(objects, "edge-gateway")["STAGEDOOR_MEDIA_TCP_CONNECTIONS"] == str(connections)
    wanted = [30082, 30083] if connections else []
    container = pod_of(one(objects, "StatefulSet", "edge-gateway"))["containers"][0]
    tcp = {port["name"]: port["containerPort"] for port in container["ports"] if port["protocol"] == "TCP" and port["name"] != "http"}
    assert list(tcp.values()) == wanted
    service = [port for port in one(objects, "Service", "edge-gateway-media")["spec"]["ports"] if port["protocol"] == "TCP"]
    assert [(port["port"], port["nodePort"], tcp[port["targetPort"]]) for port in service] == [(port,) * 3 for port in wanted]
    rules = [port for rule in one(objects, "NetworkPolicy", "edge-gateway")["spec"]["ingress"] for port in rule["ports"]]
    assert [port["port"] for port in rules if port["protocol"] == "TCP" and port["port"] != "http"] == list(tcp)


def test_who_needs_no_secret_sees_none(chart):
    """Registries know no app; gateways cannot sign calls of the server API."""
    objects = render(chart, LEAST)
    assert not [name for name, value in env(objects, "room-registry").items() if not isinstance(value, str)]
    assert "STAGEDOOR_API_SECRET_KEY" not in env(objects, "edge-gateway")
    assert "STAGEDOOR_SECRET_ID" not in env(objects, "edge-gateway")


@pytest.mark.parametrize(
    ("mode", "port", "advertised", "service"),
    [("hostNetwork", 8082, "hostIP", None), ("nodePort", 30082, "hostIP", "NodePort"), ("clusterIP", 8082, "podIP", "ClusterIP")],
)
def test_browsers_are_told_where_a_gateway_listens(chart, mode, port, advertised, service):
    """In each mode: the port is the same inside and outside, for that is what a candidate says."""
    objects = render(chart, merged(LEAST, {"edgeGateway": {"media": {"mode": mode, "workers": 2}}}))
    told = env(objects, "edge-gateway")
    assert told["STAGEDOOR_MEDIA_PORT"] == str(port)
    assert told["STAGEDOOR_MEDIA_ADVERTISE"] == {"fieldRef": {"fieldPath": f"status.{advertised}"}}
    pod = pod_of(one(objects, "StatefulSet", "edge-gateway"))
    assert [each["containerPort"] for each in pod["containers"][0]["ports"] if each["protocol"] == "UDP"] == [port, port + 1]
    assert pod.get("hostNetwork", False) == (mode == "hostNetwork")
    media = [each for each in objects if each["kind"] == "Service" and each["metadata"]["name"].endswith("-media")]
    assert [each["spec"]["type"] for each in media] == ([service] if service else [])
    if service:
        led = [each for each in media[0]["spec"]["ports"] if each["protocol"] == "UDP"]
        assert [each["port"] for each in led] == [port, port + 1]
    if service == "NodePort":
        assert [each["nodePort"] for each in led] == [port, port + 1]
        assert media[0]["spec"]["externalTrafficPolicy"] == "Local"


def test_an_address_that_is_named_is_the_one_that_browsers_are_told(chart):
    """Behind 1:1 NAT."""
    objects = render(chart, merged(LEAST, {"edgeGateway": {"media": {"advertise": "192.0.2.1"}}}))
    assert env(objects, "edge-gateway")["STAGEDOOR_MEDIA_ADVERTISE"] == "192.0.2.1"


@pytest.mark.parametrize(
    ("gateway", "drain"),
    [
        ({}, "0"),
        ({"replicas": 2}, "10"),
        ({"autoscaling": {"enabled": True}}, "10"),
        ({"drainSeconds": 30}, "30"),
        ({"replicas": 2, "drainSeconds": 0}, "0"),
    ],
)
def test_only_who_has_another_gateway_drains_to_it(chart, gateway, drain):
    """And a pod is not killed while it does."""
    objects = render(chart, merged(LEAST, {"edgeGateway": gateway, "metrics": {"enabled": True}}))
    assert env(objects, "edge-gateway")["STAGEDOOR_DRAIN_SECONDS"] == drain
    assert not list(complaints(objects))


@pytest.mark.parametrize(
    ("values", "replicas", "url"),
    [
        ({}, "1", "nats://nats:4222"),
        ({"bus": {"url": ""}, "nats": {"enabled": True}}, "3", "nats://rooms-nats:4222"),
        ({"bus": {"url": ""}, "nats": {"enabled": True, "config": {"cluster": {"enabled": False}}}}, "1", "nats://rooms-nats:4222"),
        ({"bus": {"streamReplicas": 5}}, "5", "nats://nats:4222"),
    ],
)
def test_the_stream_is_kept_by_as_many_servers_as_there_are(chart, values, replicas, url):
    """Of the bundled cluster, or as is said."""
    told = env(render(chart, merged(LEAST, values)), "room-registry")
    assert told["STAGEDOOR_STREAM_REPLICAS"] == replicas
    assert told["STAGEDOOR_NATS_URL"] == url


def test_an_ingress_leads_to_what_is_meant_for_the_outside(chart):
    """Not to health; and admin_api's has no annotation that rewrites what callers sign."""
    objects = render(chart, values_of(CHART.parent / "examples/production.yaml"))
    paths = {
        each["metadata"]["name"]: [path["path"] for path in each["spec"]["rules"][0]["http"]["paths"]]
        for each in objects
        if each["kind"] == "Ingress"
    }
    assert paths == {"rooms-stagedoor-admin-api": ["/"], "rooms-stagedoor-edge-gateway": ["/v1/signal", "/sdk/"]}
    assert "annotations" not in one(objects, "Ingress", "admin-api")["metadata"]
    assert one(objects, "Ingress", "edge-gateway")["metadata"]["annotations"]
    for name in ("admin-api", "edge-gateway"):
        assert one(objects, "Ingress", name)["spec"]["tls"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["UDP and TCP 8082 on each node", "None for signalling yet"]),
        (merged(NODE_PORT, {"edgeGateway": {"media": {"workers": 3}}}), ["UDP and TCP 30082 to 30084 on each node"]),
        ({"edgeGateway": {"media": {"tcpConnections": 0}}}, ["UDP 8082 on each node"]),
        ({"metrics": {"enabled": True}}, ["Metrics are at port 9464 of those nodes"]),
        (CLUSTER_IP, ["to the gateways' pods"]),
        ({"edgeGateway": {"replicas": 2}}, ["More than one gateway"]),
        ({"edgeGateway": {"media": {"advertise": "192.0.2.1"}}}, ["send media to 192.0.2.1"]),
    ],
)
def test_the_notes_say_which_ports_to_open(chart, values, words):
    """And what has to be known of more than one gateway."""
    notes = manifests(chart, merged(LEAST, values))["stagedoor/templates/NOTES.txt"]
    for each in words:
        assert each in notes


def test_every_value_is_described():
    """In the table; what belongs to the NATS chart is described where this one has changed it."""
    source = (CHART / "values.yaml").read_text()
    known = {value.path for value in values_table.described(source)}
    for path in _leaves(yaml.safe_load(source)):
        assert any(path == each or path.startswith(f"{each}.") for each in known), path


def test_a_table_that_is_behind_is_noticed(tmp_path, monkeypatch):
    """As `make check` does."""
    for name in ("README.md", "values.yaml"):
        (tmp_path / name).write_text((CHART / name).read_text())
    monkeypatch.setattr(values_table, "CHART", tmp_path)
    assert values_table.main(check=True) == 0
    (tmp_path / "values.yaml").write_text((CHART / "values.yaml").read_text().replace("replicas: 1", "replicas: 2"))
    assert values_table.main(check=True) == 1
    assert values_table.main(check=False) == 0
    assert values_table.main(check=True) == 0


def _leaves(node, path=""):
    if isinstance(node, dict) and node:
        for name, child in node.items():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    else:
        yield path

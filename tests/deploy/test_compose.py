"""The compose file, as far as it can be tried without containers: its files in their places, and a real nats-server."""

import asyncio
import contextlib
import re
import shutil

import pytest
import yaml

from cli import nats_keys
from cli.nats_server import die_with_parent, nats_server_program
from services.admin_api.settings import AdminSettings
from services.edge_gateway.settings import GatewaySettings
from services.room_registry.settings import RegistrySettings
from shared.auth.settings import AppSettings
from shared.bus.connection import connection_of, make_broker
from shared.settings import BusSettings
from tests.support.chart import DEPLOY
from tests.support.ports import free_port

SETTINGS = {"room_registry": RegistrySettings, "admin_api": AdminSettings, "edge_gateway": GatewaySettings}
SET = {"STAGEDOOR_MEDIA_ADVERTISE": "192.0.2.1", "STAGEDOOR_SDK_APP_ID": "1400000001"}
_SECONDS = 20
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")


def interpolated(keys):
    """The file as compose reads it, with what .env has to set; and the names of that."""
    required = set()

    def value(match):
        name, kind, default = match.groups()
        if name == "STAGEDOOR_NATS_KEYS":
            return str(keys)
        if kind == "-":
            return default
        required.add(name)
        return SET.get(name, "x")

    text = (DEPLOY / "compose/compose.yaml").read_text()
    lines = (line if line.lstrip().startswith("#") else _VARIABLE.sub(value, line) for line in text.splitlines())
    return yaml.safe_load("\n".join(lines)), required


@pytest.fixture
def keys(tmp_path):
    """What the first step of deploy/README.md makes."""
    nats_keys.write(tmp_path / "keys", ["nats", "127.0.0.1"])
    return tmp_path / "keys"


@pytest.fixture
def compose(keys):
    return interpolated(keys)[0]


@pytest.fixture
async def port(compose, tmp_path):
    """The port of a nats-server that sees what the container would see."""
    root, port = tmp_path / "nats", free_port()
    for volume in compose["services"]["nats"]["volumes"]:
        source, target, *_ = volume.split(":")
        place = root / target.lstrip("/")
        if source.startswith((".", "/")):
            here = DEPLOY / "compose" / source
            (shutil.copytree if here.is_dir() else shutil.copy)(here, _parent_made(place))
        else:
            place.mkdir(parents=True)
    (_, configuration) = compose["services"]["nats"]["command"]
    path = root / configuration.lstrip("/")
    text = path.read_text()
    for inside in ("/etc/nats/", "/data"):
        text = text.replace(f'"{inside}', f'"{root}{inside}')
    path.write_text(text.replace("port: 4222", f"port: {port}").replace("127.0.0.1:8222", "127.0.0.1:-1"))
    process = await asyncio.create_subprocess_exec(nats_server_program(), "-c", str(path), preexec_fn=die_with_parent)
    yield port
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


def _parent_made(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def secrets_of(compose, service):
    """The files of a container's secrets, by where it finds them."""
    found = {}
    for each in compose["services"][service]["secrets"]:
        source, target = (each, each) if isinstance(each, str) else (each["source"], each["target"])
        found[f"/run/secrets/{target}"] = compose["secrets"][source]["file"]
    return found


def environment_of(compose, service):
    """What a container is told, with its files where they are here."""
    files = secrets_of(compose, service)
    return {name: files.get(str(value), str(value)) for name, value in compose["services"][service]["environment"].items()}


@pytest.mark.parametrize("service", SETTINGS)
def test_a_service_can_begin_with_what_it_is_told(compose, service, monkeypatch):
    """Every variable is a setting of its own, and all together they count."""
    told = environment_of(compose, service)
    assert set(told) <= {f"STAGEDOOR_{name.upper()}" for name in SETTINGS[service].model_fields}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    loaded = SETTINGS[service].load()
    if service == "edge_gateway":
        media = loaded.media()
        assert {f"{media.port}:{media.port}/{protocol}" for protocol in ("udp", "tcp")} <= set(compose["services"][service]["ports"])
        stop = loaded.drain_seconds + loaded.stop_seconds
    else:
        stop = loaded.stop_seconds
    assert int(compose["services"][service]["stop_grace_period"].removesuffix("s")) > stop


@pytest.mark.parametrize("part", [*SETTINGS, "operator"])
async def test_the_bus_lets_each_in_with_its_own_key(compose, port, part, monkeypatch):
    """The certificate is for the name in the URL, the seed for the part: no other's is in the container."""
    seeds = [file for file in secrets_of(compose, part).values() if file.endswith(".nk")]
    assert seeds == [compose["secrets"][f"{part}_seed"]["file"]]
    told = environment_of(compose, part)
    assert told["STAGEDOOR_NATS_URL"] == "tls://nats:4222"
    monkeypatch.setenv("STAGEDOOR_NATS_URL", f"tls://127.0.0.1:{port}")
    for name in ("STAGEDOOR_NATS_CA_FILE", "STAGEDOOR_NATS_NKEY_FILE"):
        monkeypatch.setenv(name, told[name])
    broker = make_broker(BusSettings.load(), part)
    async with asyncio.timeout(_SECONDS):
        await broker.connect()
        await connection_of(broker).flush()
    await broker.stop()


def test_the_command_line_knows_the_app(compose, monkeypatch):
    """So that nobody types it."""
    for name, value in environment_of(compose, "operator").items():
        monkeypatch.setenv(name, value)
    assert AppSettings.load().sdk_app_id == int(SET["STAGEDOOR_SDK_APP_ID"])


def test_what_has_to_be_set_is_described(keys):
    """In deploy/README.md, and nothing else is."""
    _, required = interpolated(keys)
    block = (DEPLOY / "README.md").read_text().partition("`deploy/compose/.env`")[2].partition("docker compose")[0]
    assert set(re.findall(r"^    ([A-Z_]+)=", block, re.MULTILINE)) == required | {"STAGEDOOR_USER"}


def test_no_container_of_ours_has_more_rights_than_none(compose):
    """As in the chart."""
    for name in (*SETTINGS, "operator"):
        service = compose["services"][name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert not str(service["user"]).startswith("0")


def test_every_file_that_is_mounted_is_there(compose):
    """A path that is not there becomes an empty directory, in silence."""
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            if (source := volume.split(":")[0]).startswith((".", "/")):
                assert (DEPLOY / "compose" / source).exists(), source

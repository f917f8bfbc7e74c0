"""`stagedoor check` says whether an installation works."""

import json

from tests.system.conftest import API_SECRET, APP, SECRET, SECRET_ID


async def test_a_working_installation_passes(system):
    """A join, a removal by the server API, and the notice: one line each."""
    code, printed = await check(system)
    assert code == 0, printed
    assert [line.split()[0] for line in printed.splitlines()] == ["joined", "told", "removed"]
    assert "got banned by account admin" in printed
    assert printed.rstrip().endswith("confirmed")


async def test_a_wrong_credential_is_named(system, monkeypatch):
    """The server API's own code is what the operator reads."""
    monkeypatch.setattr(type(system), "environment", property(wrong(type(system).environment.fget)))
    code, printed = await check(system)
    assert code == 1
    assert "removing: AuthFailure.SignatureFailure" in printed


async def test_a_gateway_that_is_not_there_is_named(system):
    """The step at which it stopped stands first."""
    await system.end("edge_gateway")
    code, printed = await check(system)
    assert code == 1
    assert "joining: " in printed


async def test_of_a_file_of_apps_any_is_tried(system, monkeypatch, tmp_path):
    """The first that may call the server API, where none is named."""
    path = tmp_path / "apps.json"
    own = {"sdk_app_id": APP, "secret_key": SECRET, "credentials": {SECRET_ID: API_SECRET}}
    path.write_text(json.dumps({"apps": [{"sdk_app_id": APP + 1, "secret_key": "another"}, own]}))
    monkeypatch.setattr(type(system), "environment", property(described_by(path, type(system).environment.fget)))
    code, printed = await check(system)
    assert code == 0, printed


def described_by(path, environment):
    described = ("STAGEDOOR_SDK_APP_ID", "STAGEDOOR_SECRET_KEY", "STAGEDOOR_SECRET_ID", "STAGEDOOR_API_SECRET_KEY")
    return lambda system: (
        {name: value for name, value in environment(system).items() if name not in described} | {"STAGEDOOR_APPS_FILE": str(path)}
    )


def wrong(environment):
    return lambda system: environment(system) | {"STAGEDOOR_API_SECRET_KEY": "another"}


async def check(system):
    return await system.stagedoor("check", "--gateway", system.gateway, "--admin", f"http://127.0.0.1:{system.ports['admin_api']}")

"""`stagedoor check` says whether an installation works."""


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


def wrong(environment):
    return lambda system: environment(system) | {"STAGEDOOR_API_SECRET_KEY": "another"}


async def check(system):
    return await system.stagedoor("check", "--gateway", system.gateway, "--admin", f"http://127.0.0.1:{system.ports['admin_api']}")

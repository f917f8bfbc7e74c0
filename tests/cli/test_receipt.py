"""`stagedoor receipt`, as a process; the test plays the registry and the gateways."""

import asyncio
import os
import re
import sys

import pytest

from shared.clients.receipts import Receipts
from shared.contracts.errors import RefusalCode
from shared.contracts.replies import DismissReply, Refusal, RemovedSession, RemoveReply
from tests.admin_api.support import APP, FORMER, GATEWAY, SESSION, PlayedGateways, PlayedRegistry

OTHER = SESSION[::-1]


@pytest.fixture
async def registry(bus):
    played = PlayedRegistry(bus)
    await played.start()
    return played


@pytest.fixture
async def gateways(bus):
    await Receipts(bus).ensure(1)
    return PlayedGateways(bus)


@pytest.fixture
def receipt(nats_server, tmp_path):
    """Run the command; returns its exit code and what it printed."""

    async def run(command, app=APP):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli.main",
            *("receipt", "--app", str(app), "--id", command),
            env=os.environ | {"STAGEDOOR_NATS_URL": nats_server.url, "STAGEDOOR_DATA_DIR": str(tmp_path / "none")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    return run


async def test_a_removals_sessions_are_printed_with_their_state(receipt, registry, gateways):
    """Those that nobody has reported, too; and who was not there."""
    removed = (
        RemovedSession(user="ann", session=SESSION, gateway=GATEWAY, seq=7, former=(FORMER,)),
        RemovedSession(user="bob", session=OTHER, gateway=GATEWAY, seq=7),
    )
    registry.remembered[APP, "c1"] = RemoveReply(removed=removed, not_found=("nobody",))
    await gateways.report("c1", user="ann", stopped=1000, told=2000)
    code, printed = await receipt("c1")
    assert code == 0
    assert re.search(r"^pending    ann  session \w+ on gw_\w+  told 1970-01-01T00:00:02.000\+00:00$", printed, re.MULTILINE)
    assert re.search(r"^pending    bob  session \w+ on gw_\w+$", printed, re.MULTILINE)
    assert re.search(r"^not there  nobody$", printed, re.MULTILINE)
    registry.lost = {FORMER}
    await gateways.report("c1", session=OTHER, user="bob", stopped=1000, told=2000)
    _, printed = await receipt("c1")
    assert re.search(r"^confirmed  ann ", printed, re.MULTILINE)
    assert re.search(r"^confirmed  bob .*  media stopped 1970-01-01T00:00:01.000\+00:00  told ", printed, re.MULTILINE)


async def test_a_dismissal_is_printed_with_its_counts(receipt, registry, gateways):
    registry.remembered[APP, "c1"] = DismissReply(incarnation="1.1", seq=9, sessions=3, attachments={GATEWAY: 2, FORMER: 1})
    await gateways.report("c1", user="ann", stopped=1000)
    code, printed = await receipt("c1")
    assert code == 0
    assert re.search(r"^fenced     ann ", printed, re.MULTILINE)
    assert re.search(r"^dismissed  3: 0 confirmed, 1 fenced, 2 pending$", printed, re.MULTILINE)
    registry.lost = {FORMER}
    _, printed = await receipt("c1")
    assert re.search(r"^dismissed  3: 0 confirmed, 2 fenced, 1 pending$", printed, re.MULTILINE)


async def test_a_forgotten_answer_leaves_what_was_reported(receipt, registry, gateways):
    """And the text says so."""
    await gateways.report("c1", user="ann", stopped=1000, told=2000)
    code, printed = await receipt("c1")
    assert code == 0
    assert re.search(r"^confirmed  ann ", printed, re.MULTILINE)
    assert "not remembered any more" in printed


async def test_without_anything_known_it_fails_with_a_text(receipt, registry, gateways):
    """Of an unknown id, and of another app's."""
    registry.remembered[APP, "c1"] = RemoveReply(removed=(), not_found=("nobody",))
    for command, app in (("unknown", APP), ("c1", APP + 1)):
        code, printed = await receipt(command, app)
        assert code == 1
        assert "nothing is known" in printed


async def test_a_refusal_is_printed_as_such(receipt, registry, gateways):
    registry.remembered[APP, "c1"] = Refusal(code=RefusalCode.ROOM_NOT_EXIST, message="no such room")
    code, printed = await receipt("c1")
    assert code == 1
    assert "room_not_exist: no such room" in printed

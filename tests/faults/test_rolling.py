"""What an orchestrator does at an upgrade, without one: each process is ended by SIGTERM and started anew, under load."""

import asyncio

from tests.faults.installation import SERVICES, Installation
from tests.faults.run import connect
from tests.faults.steady import Load, harms

_LED_AWAY_SECONDS = 0.5
"""As the sleep before SIGTERM: whoever has just decided to go there, still gets there."""
_DRAIN, _STOP, _SLOW = 2, 20, 10
_COME_SECONDS = 30


async def test_a_rolling_replacement_under_load_is_noticed_by_nobody(tmp_path):
    """Exit code 0 before anybody would kill it; no command is lost, no session ends by it, every victim is told once."""
    settings = {"STAGEDOOR_DRAIN_SECONDS": str(_DRAIN), "STAGEDOOR_STOP_SECONDS": str(_STOP)}
    installation, leaving = Installation(tmp_path, cluster=False, settings=settings), set()

    def addresses(service):
        return {member.name: member.url for member in installation.all(service) if member not in leaving}

    try:
        await installation.start()
        load = Load(tmp_path, lambda: addresses("edge_gateway"), lambda: [f"{url}/" for url in addresses("admin_api").values()])
        load.start()
        async with asyncio.timeout(_COME_SECONDS):
            while load.journal.counts.get("joined", 0) < len(load.visitors):
                await asyncio.sleep(0.05)
        codes = {}
        for member in [member for service in SERVICES for member in installation.all(service)]:
            leaving.add(member)
            await asyncio.sleep(_LED_AWAY_SECONDS)
            codes[member.name] = await member.replace(_DRAIN + _STOP + _SLOW)
            await member.ready()
            leaving.remove(member)
        violations, history = await load.end(lambda: connect(installation))
    finally:
        await installation.stop()
    assert set(codes.values()) == {0}, codes
    assert not violations, "\n".join(map(str, violations[:5]))
    assert not harms(history)

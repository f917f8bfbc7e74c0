"""A gateway's keys come from a file that changes while it serves."""

import asyncio
import json

import pytest
from stagedoor_client import RefusedError, SignallingClient

from tests.edge_gateway.conftest import APP, SECRET, gateway_running, usersig

NEXT = "the-next-key-that-signs"


def write(path, key, *accepted):
    path.write_text(json.dumps({"apps": [{"sdk_app_id": APP, "secret_key": key, "accepted_keys": accepted}]}))


@pytest.fixture
async def rotating(gateway_settings, registry, tmp_path):
    """A gateway with a file of apps, and the file."""
    path = tmp_path / "apps.json"
    write(path, SECRET)
    update = {"sdk_app_id": None, "secret_key": None, "apps_file": path, "apps_reload_seconds": 0.02}
    update |= {"reconnect_grace": 60, "failed_joins_per_minute": 100_000, "joins_per_second": 1000}
    async with gateway_running(gateway_settings.model_copy(update=update)) as gateway:
        yield gateway, path


async def extra_of(gateway, secret):
    """Join with a UserSig of this key: 0, or the code of why not."""
    try:
        async with gateway.joined("ann", sig=usersig("ann", secret=secret)):
            return 0
    except RefusedError as error:
        return error.extra


async def until(expected, gateway, secret):
    async with asyncio.timeout(20):
        while await extra_of(gateway, secret) != expected:
            await asyncio.sleep(0.02)


async def test_the_key_of_usersigs_is_changed_without_a_moment_without_one(rotating):
    """Accepted, then signing, then alone; sessions of before resume with the tokens that they have until the old key goes."""
    gateway, path = rotating
    async with gateway.joined("bob") as bob:
        assert await extra_of(gateway, NEXT) == 70003
        write(path, SECRET, NEXT)
        await until(0, gateway, NEXT)
        assert await extra_of(gateway, SECRET) == 0
        write(path, NEXT, SECRET)
        bob.cut()
        async with gateway.resumed(bob) as again:
            assert again.session == bob.session
            write(path, NEXT)
            await until(70003, gateway, SECRET)
            assert await extra_of(gateway, NEXT) == 0
            again.cut()
            async with SignallingClient.open(gateway.url) as late:
                with pytest.raises(RefusedError, match="session_unknown"):
                    await late.resume(app=APP, room=1, session=bob.session, token=bob.token)

"""Credentials come from a file that changes while the server API serves."""

import asyncio
import json

import httpx
import pytest

from services.admin_api.app import build
from tests.admin_api.support import APP, SECRET_ID, SECRET_KEY, Caller, code_of, settings
from tests.support.running import running

OTHER_APP, NEXT_ID, NEXT_KEY = 1400000002, "AKIDNEXT", "the-next-secret-key"
DISMISS = {"SdkAppId": APP, "RoomId": 1}


@pytest.fixture
def write(tmp_path):
    """Replace the file in one step, as what is mounted is replaced."""

    def replace(text):
        fresh = tmp_path / "fresh.json"
        fresh.write_text(text)
        fresh.rename(tmp_path / "apps.json")
        return tmp_path / "apps.json"

    return replace


def described(credentials, *more):
    return json.dumps({"apps": [{"sdk_app_id": APP, "secret_key": "sig", "credentials": credentials}, *more]})


@pytest.fixture
async def back_end(nats_server, registry, write):
    alone = dict.fromkeys(("sdk_app_id", "secret_key", "secret_id", "api_secret_key"))
    told = settings(nats_server.url, **alone, apps_file=write(described({SECRET_ID: SECRET_KEY})), apps_reload_seconds=0.02)
    async with running(build(told)) as url, httpx.AsyncClient(base_url=url) as client:
        yield Caller(client)


async def until(code, call):
    async with asyncio.timeout(20):
        while (found := code_of(await call())) != code:
            await asyncio.sleep(0.02)
    return found


async def test_a_credential_is_changed_without_a_moment_without_one(back_end, write):
    """Both count for a while; then the old one does not."""

    def with_next():
        return back_end.post("DismissRoom", DISMISS, secret_id=NEXT_ID, secret_key=NEXT_KEY)

    assert code_of(await back_end.post("DismissRoom", DISMISS)) is None
    assert code_of(await with_next()) == "AuthFailure.SecretIdNotFound"
    write(described({SECRET_ID: SECRET_KEY, NEXT_ID: NEXT_KEY}))
    await until(None, with_next)
    assert code_of(await back_end.post("DismissRoom", DISMISS)) is None
    write(described({NEXT_ID: NEXT_KEY}))
    await until("AuthFailure.SecretIdNotFound", lambda: back_end.post("DismissRoom", DISMISS))
    assert code_of(await with_next()) is None


async def test_an_app_that_is_added_is_served_and_nobody_elses(back_end, write):
    """Each credential acts on its own app."""
    write(described({SECRET_ID: SECRET_KEY}, {"sdk_app_id": OTHER_APP, "secret_key": "sig-2", "credentials": {NEXT_ID: NEXT_KEY}}))
    other = DISMISS | {"SdkAppId": OTHER_APP}
    await until(None, lambda: back_end.post("DismissRoom", other, secret_id=NEXT_ID, secret_key=NEXT_KEY))
    foreign = code_of(await back_end.post("DismissRoom", other))
    assert foreign is not None
    assert foreign == code_of(await back_end.post("DismissRoom", DISMISS, secret_id=NEXT_ID, secret_key=NEXT_KEY))


async def test_a_bad_file_takes_nothing_away(back_end, write):
    """What counted counts on, until there is a good one."""
    write("{")
    write(described({SECRET_ID: SECRET_KEY, "not an id": "x"}))
    assert code_of(await back_end.post("DismissRoom", DISMISS)) is None
    write(described({SECRET_ID: SECRET_KEY, NEXT_ID: NEXT_KEY}))
    await until(None, lambda: back_end.post("DismissRoom", DISMISS, secret_id=NEXT_ID, secret_key=NEXT_KEY))
    assert code_of(await back_end.post("DismissRoom", DISMISS)) is None

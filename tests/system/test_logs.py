"""What running services write: documented lines of JSON, with who and where in marked fields only."""

import contextlib
import json
import re
import secrets
from pathlib import Path

import pytest
from stagedoor_client import RefusedError, SignallingClient
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from shared.contracts.ids import RoomKey
from shared.contracts.subjects import DOOR, Verb, command_subject
from shared.logging import PERSONAL
from tests.system.conftest import APP

MANUAL = Path(__file__).parents[2].joinpath("docs/logging.md").read_text()
EVENTS = {
    event: set(re.findall(r"`(\w+)`", fields))
    for event, fields in re.findall(r"^\| `(\w+)` \| \w+ \| [^|]+ \| ([^|]*) \|", MANUAL, re.MULTILINE)
}
ALWAYS = {"timestamp", "level", "event", "logger", "service"}
BOUND = ALWAYS | {"correlation", "session", "attachment", "app", "room", "user", "partition"}
ANN, BOB, ROOM = "ann-the-person", "bob-the-person", "a-private-room"


@pytest.fixture
def mode():
    return "plain"


@pytest.fixture
def environment(mode):
    told = {"STAGEDOOR_LOG_LEVEL": "debug", "STAGEDOOR_LOG_PERSONAL": mode, "STAGEDOOR_LOG_HASH_KEY": "the-key-of-hashes"}
    return dict.fromkeys(("room_registry", "admin_api", "edge_gateway"), told)


async def much_happens(system):
    """People come, are replaced, removed and dismissed; some are refused, some talk nonsense."""
    async with system.joined(ANN, ROOM) as first, system.joined(BOB, ROOM), system.joined(ANN, ROOM) as second:
        await first.expect("ended")
        await system.call("RemoveUserByStrRoomId", RoomId=ROOM, UserIds=[ANN, "nobody-at-all"])
        await second.expect("ended")
        await system.call("DismissRoomByStrRoomId", RoomId=ROOM)
    with pytest.raises(TencentCloudSDKException):
        await system.call("RemoveUserByStrRoomId", RoomId=ROOM, UserIds=["x" * 33 + ANN])
    with pytest.raises(RefusedError):
        async with SignallingClient.open(system.gateway) as client:
            await client.join(app=APP, user=ANN, sig="not-one", room=ROOM)
    with pytest.raises(RefusedError):
        async with SignallingClient.open(system.gateway) as client:
            await client.resume(app=APP, room=ROOM, session=secrets.token_hex(16), token="nonsense")
    connection = await system.connect()
    subject = command_subject(DOOR, RoomKey(APP, ROOM), Verb.REMOVE)
    for body in (
        b"nonsense",
        json.dumps({"id": "1", "app": APP, "room": ROOM, "users": [ANN, 7]}).encode(),
        b'{"room": "%s"}' % ROOM.encode(),
    ):
        with contextlib.suppress(TimeoutError):
            await connection.request(subject, body, timeout=2)
    await connection.publish(subject, b"{}", reply=f"stagedoor.v1.evt.0.{APP}.s{ROOM}.join")
    await connection.request(subject.replace(".remove", f".{ANN}"), b"{}", timeout=2)
    await connection.close()


@pytest.fixture
async def lines(system):
    """Every line that all services have written, to their very end."""
    await much_happens(system)
    for name in ("edge_gateway", "admin_api", "room_registry"):
        assert await system.end(name) == 0
    return [json.loads(line) for name in system.ports for line in system.log(name).splitlines()]


def names_somebody(value):
    return any(word in json.dumps(value, ensure_ascii=False) for word in (ANN, BOB, ROOM, "nobody-at-all"))


async def test_who_and_where_is_in_marked_fields_only(lines):
    """And is there: otherwise this test looks at nothing."""
    for line in lines:
        unmarked = {field: value for field, value in line.items() if field not in PERSONAL}
        assert not names_somebody(unmarked), line
    for field in PERSONAL:
        assert any(names_somebody(line.get(field)) for line in lines), field
    # Every line of ours is in the manual, and so is every field of it.
    for line in lines:
        if line["logger"].startswith(("services", "shared")):
            assert line.keys() <= EVENTS[line["event"]] | BOUND, line


@pytest.mark.parametrize("mode", ["hash", "drop"])
async def test_it_can_be_hidden(lines, mode):
    """Hashed, so that lines can be compared over all services, or left out."""
    assert not [line for line in lines if names_somebody(line)]
    rooms = {
        line["service"]: line["room"]
        for line in lines
        if line["event"] in ("command", "session_joined", "admin_request") and "room" in line
    }
    if mode == "drop":
        assert not rooms
    else:
        assert len(rooms) == 3
        assert len(set(rooms.values())) == 1

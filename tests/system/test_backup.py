"""A backup that was restored is the state it was: a room, who was in it, and what was answered; files that are not whole are refused."""

import shutil
import signal

import pytest

from shared.bus.stream import EventStream
from shared.contracts.subjects import SNAPSHOT_STREAM, STREAM
from tests.system.test_kick import until_nobody_is_there


@pytest.fixture
def environment():
    # So that the copies are of streams from which something was deleted.
    return {
        "room_registry": {
            "STAGEDOOR_SNAPSHOT_EVERY": "2",
            "STAGEDOOR_EVENT_RETENTION_HOURS": "0",
            # Who was there is at a gateway that is gone, and not lost yet.
            "STAGEDOOR_ROOMS_SPAN_GATEWAYS": "1",
        }
    }


async def until_quiet(system):
    """Wait until the snapshots cover what they are to cover: a backup in between would be made again."""
    connection = await system.connect()
    stream, seen = connection.jetstream(), None
    while seen != (seen := (await stream.stream_info(SNAPSHOT_STREAM)).state.last_seq) or seen == 0:
        await system.stagedoor("rooms")
    await connection.close()


async def test_a_restored_backup_is_the_state_it_was(system, tmp_path):
    """On an empty server: the same rooms, the same answers, and everything works on."""
    backup = str(tmp_path / "backup")
    async with system.joined("ann"), system.joined("bob", "x"), system.joined("eve", "x"):
        assert (await system.stagedoor("remove", "--str-room", "x", "--user", "bob", "--id", "my-removal"))[0] == 0
        await until_quiet(system)
        code, printed = await system.stagedoor("backup", backup)
        assert code == 0, printed
        _, rooms = await system.stagedoor("rooms")
        # What comes later is not in it.
        async with system.joined("late", 7):
            pass
        code, refused = await system.stagedoor("restore", backup)
        assert (code, "a registry runs" in refused) == (1, True)
        for name in system.ports:
            await system.end(name, signal.SIGKILL)
    code, refused = await system.stagedoor("restore", backup)
    assert (code, "already in use" in refused) == (1, True)
    await system.nats.stop()
    shutil.rmtree(system.nats.directory / "jetstream")
    await system.nats.start()
    code, printed = await system.stagedoor("restore", backup)
    assert code == 0, printed
    await system.start()
    assert (await system.stagedoor("rooms"))[1] == rooms
    assert "bob" in (await system.stagedoor("receipt", "--id", "my-removal"))[1]
    async with system.joined("new", "x") as new:
        assert [peer["user"] for peer in new.joined["peers"]] == ["eve"]
    # Their gateway is gone, and they with it.
    await until_nobody_is_there(system)


async def test_what_is_no_backup_is_not_restored(system, tmp_path):
    """Nothing is touched."""
    backup = tmp_path / "backup"
    assert (await system.stagedoor("backup", str(backup)))[0] == 0
    assert (await system.stagedoor("backup", str(backup)))[0] == 1
    code, printed = await system.stagedoor("backup", str(backup / f"{STREAM}.json" / "within"))
    assert (code, "Traceback" in printed, "cannot be written" in printed) == (1, False, True)
    for name in system.ports:
        await system.end(name)
    archive = backup / f"{STREAM}.archive"
    archive.write_bytes(archive.read_bytes()[:-1])
    code, printed = await system.stagedoor("restore", str(backup))
    assert (code, "checksum" in printed) == (1, True)
    description = backup / f"{STREAM}.json"
    for wrong in ("[]", "[" * 100_000, (backup / f"{SNAPSHOT_STREAM}.json").read_text()):
        description.write_text(wrong)
        code, printed = await system.stagedoor("restore", str(backup))
        assert (code, "Traceback" in printed, f"{STREAM}.json" in printed) == (1, False, True)
    archive.unlink()
    code, printed = await system.stagedoor("restore", str(backup))
    assert (code, "no backup" in printed) == (1, True)
    connection = await system.connect()
    assert await EventStream(connection).last_seq() > 0
    await connection.close()

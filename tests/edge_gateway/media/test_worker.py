"""Media in a process of its own: what is known of it when it dies, freezes, or loses its parent."""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from aiortc.mediastreams import AudioStreamTrack
from structlog.testing import capture_logs

from services.edge_gateway.media import boundary, process
from services.edge_gateway.media.interface import MediaRefusedError, TransportFailed
from services.edge_gateway.media.remote import RemoteEngine
from services.edge_gateway.media.settings import MediaSettings
from services.edge_gateway.media.workers import MediaWorkers
from shared.contracts.errors import ConfigurationError
from shared.contracts.ids import RoomKey
from tests.support.ports import free_port
from tests.support.sdp import CAPTURED

ROOT = Path(__file__).parents[3]
BRIGHT = 200
PATIENCE = 20.0
HERE = MediaSettings(host="127.0.0.1", port=0)

in_a_worker = pytest.mark.parametrize("room", ["worker"], indirect=True)


async def until(condition):
    """Wait for what another process brings about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


async def until_dead(pid):
    """Wait until a process, of whomever it is a child, has ended."""
    descriptor = os.pidfd_open(pid)
    dead = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, dead.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await dead.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


@in_a_worker
async def test_a_worker_that_is_killed_is_replaced(room):
    """Whose media it had is told of each connection, and can have it all again, for as long as was allowed before."""
    _, tracks = await room.publish("ann", room.picture(BRIGHT))
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    os.kill(room.engine.worker_pid, signal.SIGKILL)
    await until(lambda: len(room.failures) == 2)
    await until(lambda: room.engine.worker_pid)
    reason = "the media worker was lost"
    assert room.failures == [TransportFailed("ann", "publish", reason), TransportFailed("bob", "subscribe", reason)]
    _, tracks = await room.publish("ann", room.picture(BRIGHT))
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    assert len(room.failures) == 2


@in_a_worker
async def test_who_was_stopped_before_the_worker_died_hears_nothing(room):
    """Nobody is to come back by himself who was made to leave."""
    await room.publish("ann", AudioStreamTrack())
    await room.publish("bob", AudioStreamTrack())
    stopped = (await room.engine.stop("ann")).at
    os.kill(room.engine.worker_pid, signal.SIGKILL)
    await until(lambda: room.failures)
    assert [failure.session for failure in room.failures] == ["bob"]
    assert (await room.engine.stop("ann")).at > stopped


@in_a_worker
async def test_a_frozen_worker_has_stopped_nothing(room, monkeypatch):
    """It may go on a moment later: who asks has an answer only when it is dead, and the time is that of its reaping."""
    monkeypatch.setattr(process, "_BEAT", 0.05)
    room.engine._worker._watch()
    await room.publish("ann", AudioStreamTrack())
    pid = room.engine.worker_pid
    os.kill(pid, signal.SIGSTOP)
    frozen = time.time()
    async with asyncio.timeout(PATIENCE):
        assert (await room.engine.stop("ann")).at > frozen
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@in_a_worker
async def test_who_never_had_media_waits_for_no_worker(room):
    """A kick of somebody who only listens to signalling takes no way through another process, not even a frozen one."""
    await room.publish("ann", AudioStreamTrack())
    pid = room.engine.worker_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.time()
        async with asyncio.timeout(PATIENCE):
            assert (await room.engine.stop("bob", "bob.auxiliary")).at >= began
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await room.engine.stop("bob", "ann")).at > began


@in_a_worker
async def test_who_asked_for_media_in_vain_is_stopped_as_well(room):
    """What the worker made of it is the worker's to say."""
    with pytest.raises(MediaRefusedError):
        await room.engine.publish("ann", "v=0")
    os.kill(room.engine.worker_pid, signal.SIGSTOP)
    stopping = asyncio.create_task(room.engine.stop("ann"))
    done, _ = await asyncio.wait({stopping}, timeout=0.5)
    assert not done
    os.kill(room.engine.worker_pid, signal.SIGCONT)
    await stopping


@in_a_worker
async def test_no_answer_while_a_worker_stands_still(room):
    """As long as nobody knows, nobody says."""
    await room.publish("ann", AudioStreamTrack())
    pid = room.engine.worker_pid
    os.kill(pid, signal.SIGSTOP)
    stopping = asyncio.create_task(room.engine.stop("ann"))
    done, _ = await asyncio.wait({stopping}, timeout=0.5)
    assert not done
    thawed = time.time()
    os.kill(pid, signal.SIGCONT)
    assert (await stopping).at >= thawed
    assert room.engine.worker_pid == pid


@in_a_worker
async def test_signals_of_the_terminal_do_not_end_it(room):
    """They go to the whole group; the control process lets browsers go on elsewhere first."""
    _, tracks = await room.publish("ann", room.picture(BRIGHT))
    pid = room.engine.worker_pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    _, received = await room.subscribe("bob", tracks["video"])
    await room.frame_of(received[tracks["video"]])
    assert room.engine.worker_pid == pid


@in_a_worker
async def test_nothing_is_forwarded_beyond_the_deadline(room):
    """The worker has the deadline, and keeps it."""
    room.engine.allow_until(time.monotonic())
    _, tracks = await room.publish("ann", room.picture(BRIGHT))
    _, received = await room.subscribe("bob", tracks["video"])
    frame = asyncio.create_task(room.frame_of(received[tracks["video"]]))
    # Others' connections come about meanwhile, which takes far longer than a picture.
    await room.publish("cyd", AudioStreamTrack())
    await room.subscribe("dan", tracks["video"])
    assert not frame.done()
    room.engine.allow_until(time.monotonic() + 60)
    await frame


@in_a_worker
async def test_it_holds_no_keys(room, monkeypatch):
    """Who takes packets from everybody is told nothing that it does not need."""
    monkeypatch.setenv("STAGEDOOR_SECRET_KEY", "the-key-that-signs")
    os.kill(room.engine.worker_pid, signal.SIGKILL)
    before = room.engine.worker_pid
    await until(lambda: room.engine.worker_pid not in (None, before))
    assert b"STAGEDOOR_" not in Path(f"/proc/{room.engine.worker_pid}/environ").read_bytes()


async def test_a_bug_in_a_call_breaks_that_call_only(worker_that_runs):
    """Who asked is told that it broke; for a stop that is not enough, and the process is ended for it."""
    engine = await worker_that_runs(BROKEN)
    with pytest.raises(RuntimeError, match="could not publish: ValueError"):
        await engine.publish("ann", "v=0")
    pid = engine.worker_pid
    began = time.time()
    assert (await engine.stop("ann")).at >= began
    await until(lambda: engine.worker_pid not in (None, pid))


async def test_what_all_clients_say_at_once_does_not_fill_the_channel():
    """One user may have hundreds of sessions; 64 KiB from each of them would end everybody's media."""
    engine = await RemoteEngine.start(HERE, print, print)
    pid = engine.worker_pid
    said = "v=0\r\n" + "y" * 65_000
    outcomes = await asyncio.gather(*(engine.publish(f"eve-{number}", said) for number in range(400)), return_exceptions=True)
    assert {outcome.code for outcome in outcomes} == {"unsupported_media"}
    assert engine.worker_pid == pid
    await engine.close()


async def test_offers_wait_for_a_control_process_that_reads_slowly(worker_that_runs):
    """A large room has megabytes of them when one of its tracks ends; a channel that breaks would end everybody's media."""
    offers = {}
    engine = await worker_that_runs(
        "from services.edge_gateway.media import boundary\nboundary.MAX_UNSENT, boundary._BEHIND = 200_000, 20_000",
        lambda offer: offers.update({offer.session: offer}),
    )
    pid = engine.worker_pid
    tracks = {track.id for number in range(16) for track in (await engine.publish(f"ann-{number}", CAPTURED["chromium-offer"])).tracks}
    listeners = [f"bob-{number}" for number in range(60)]
    for listener in listeners:
        await engine.subscribe(listener, frozenset(tracks))
    await until(lambda: len(offers) == len(listeners))
    for listener, offer in offers.items():
        await engine.answer(listener, 1, offer.sdp.replace("a=sendonly", "a=recvonly").replace("a=setup:actpass", "a=setup:active"))
    await engine.unpublish("ann-0")
    time.sleep(0.3)  # noqa: ASYNC251 -- this process reads nothing meanwhile
    await until(lambda: all(offer.number == 2 for offer in offers.values()))
    assert engine.worker_pid == pid


@pytest.fixture
async def worker_that_runs(monkeypatch, tmp_path):
    """Give a function that starts an engine whose worker runs a text first."""
    engines = []

    async def start(text, on_offer=print):
        module = tmp_path / "sitecustomize.py"
        lines = ["import sys", "if 'services.edge_gateway.media.worker' in sys.orig_argv:", *(f"    {line}" for line in text.splitlines())]
        module.write_text("\n".join(lines) + "\n")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
        engines.append(await RemoteEngine.start(HERE, on_offer, print))
        return engines[-1]

    yield start
    for engine in engines:
        await engine.close()


async def test_it_dies_with_its_parent():
    """However that dies; nobody would tell it any more who was removed."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    pid = int(await asyncio.wait_for(parent.stdout.readline(), PATIENCE))
    parent.kill()
    await until_dead(pid)
    await parent.wait()


BROKEN = """
from services.edge_gateway.media.engine import UdpMediaEngine
async def broken(*_):
    raise ValueError
UdpMediaEngine.publish = UdpMediaEngine.stop = broken
"""

PARENT = """
import asyncio
from services.edge_gateway.media.remote import RemoteEngine
from services.edge_gateway.media.settings import MediaSettings
from shared import logging

async def main():
    engine = await RemoteEngine.start(MediaSettings(host="127.0.0.1", port=0), print, print)
    print(engine.worker_pid, flush=True)
    await asyncio.Event().wait()

logging.configure("parent")
asyncio.run(main())
"""


async def test_a_port_that_is_taken_is_named_from_afar():
    """The operator reads the same as without a process between; and no other worker is left over."""
    port = free_port()
    first = await RemoteEngine.start(MediaSettings(host="127.0.0.1", port=port), print, print)
    with pytest.raises(ConfigurationError, match=f"UDP 127.0.0.1 port {port}: Address already in use"):
        await MediaWorkers.start(MediaSettings(host="127.0.0.1", port=port - 1, workers=2), print, print, print)
    await first.close()


async def test_a_room_is_at_one_worker():
    """The same one each time; and rooms are spread."""
    workers = await MediaWorkers.start(MediaSettings(host="127.0.0.1", port=0, workers=2), print, print, print)
    rooms = [RoomKey(1, room) for room in (*range(1, 40), "1", "2")]
    assert {workers.engine_of(room) for room in rooms} == set(workers.engines)
    assert all(workers.engine_of(RoomKey(*room)) is workers.engine_of(room) for room in rooms)
    await workers.close()


async def test_while_there_is_no_worker_nothing_is_promised(monkeypatch):
    """What needs one is refused for the moment; what is gone with the last one is done."""
    engine = RemoteEngine(HERE, "info", print, print, print)
    for call in (engine.publish("ann", "v=0"), engine.subscribe("ann", frozenset({"a"}))):
        with pytest.raises(MediaRefusedError, match="unavailable"):
            await call
    await engine.unpublish("ann")
    await engine.unsubscribe("ann")
    await engine.answer("ann", 1, "v=0")
    engine._died_at = 5.0
    assert (await engine.stop("ann")).at == 5.0


async def test_a_worker_that_cannot_be_replaced_at_once_is_tried_again(monkeypatch):
    """Each time after a longer pause; the sessions are told at once."""
    failures = []
    engine = await RemoteEngine.start(HERE, print, failures.append)
    engine._connections["ann", "publish"] = None
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with capture_logs() as logs:
        os.kill(engine.worker_pid, signal.SIGKILL)
        await until(lambda: failures)
        assert engine.worker_pid is None
        await until(lambda: "media_worker_not_started" in [entry["event"] for entry in logs])
    monkeypatch.undo()
    await until(lambda: engine.worker_pid)
    assert len(failures) == 1
    await engine.close()


async def test_what_is_no_message_breaks_the_channel(socket_ends):
    """Both ends look at every byte."""
    for garbage in (b"\x00\x00\x00\x02{}", b"\xff\xff\xff\xff", b'\x00\x00\x00\x1e{"type":"ping","number":12345}', b"\x00\x00"):
        ours, theirs = await socket_ends()
        theirs.sendall(garbage)
        theirs.close()
        with pytest.raises(boundary.BrokenChannelError):
            await ours.receive()
        await ours.close()


async def test_who_does_not_read_is_not_written_to_for_ever(socket_ends, monkeypatch):
    """What waits is bounded; beyond that the channel breaks."""
    monkeypatch.setattr(boundary, "MAX_UNSENT", 100_000)
    ours, theirs = await socket_ends()
    for _ in range(200):
        ours.send(boundary.NotStarted(reason="x" * 5000))
    with pytest.raises(boundary.BrokenChannelError):
        await ours.receive()
    theirs.close()
    await ours.close()


@pytest.fixture
def socket_ends():
    """Give a function that makes a channel, and the bare other end."""

    async def make():
        one, other = socket.socketpair()
        return await boundary.Channel.over(one, boundary.to_worker), other

    return make

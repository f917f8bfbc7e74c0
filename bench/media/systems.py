"""What is measured: our engines, and Janus."""

import asyncio
import contextlib
import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Protocol

import httpx

from bench.media.clients import Connection, Publisher, answer_to

_PATIENCE = 20.0
_JANUS = "http://127.0.0.1:8088/janus"
_UNUSED = (
    ("audiobridge", "echotest", "recordplay", "sip", "nosip", "streaming", "textroom", "videocall", "voicemail", "lua", "duktape"),
    ("rabbitmq", "mqtt", "nanomsg", "pfunix", "websockets"),
)


class System(Protocol):
    """A server of rooms; publishers are known to it by tokens."""

    pid: int

    async def publish(self, publisher: Publisher) -> Any:
        """Connect a publisher; return what it is known by."""
        ...

    async def subscribe(self, subscriber: Connection, feeds: list[Any]) -> None:
        """Connect a subscriber to publishers."""
        ...

    async def settle(self) -> None:
        """All are there."""
        ...

    async def stop(self) -> None:
        """End."""
        ...


class Ours:
    """Our engine in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self._count = 0
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls, address: str, engine: str) -> "Ours":
        """Start it."""
        command = (sys.executable, "-m", "bench.media.serve", address, engine)
        pipe = asyncio.subprocess.PIPE
        # What it logs goes to its standard error.
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, limit=1 << 20)
        return cls(process)

    async def _do(self, what: str, session: str, **fields: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn, asyncio.timeout(_PATIENCE):
            self._process.stdin.write(json.dumps({"do": what, "session": session, **fields}).encode() + b"\n")
            while True:
                line = await self._process.stdout.readline()
                if not line:
                    raise RuntimeError("the engine's process ended")
                with contextlib.suppress(json.JSONDecodeError):
                    return json.loads(line)

    def _session(self) -> str:
        self._count += 1
        return str(self._count)

    async def publish(self, publisher: Publisher) -> list[str]:
        """See :class:`System`."""
        answer = await self._do("publish", self._session(), sdp=await publisher.offer())
        await publisher.connect(answer["sdp"], answerer=False)
        tracks: list[str] = answer["tracks"]
        return tracks

    async def subscribe(self, subscriber: Connection, feeds: list[list[str]]) -> None:
        """See :class:`System`."""
        session = self._session()
        offer = await self._do("subscribe", session, tracks=[track for feed in feeds for track in feed])
        answer = answer_to(offer["sdp"], await subscriber.lines("active"))
        await self._do("answer", session, number=offer["number"], sdp=answer)
        await subscriber.connect(offer["sdp"], answerer=True)

    async def settle(self) -> None:
        """See :class:`System`."""
        await self._do("settle", "")

    async def stop_all(self) -> None:
        """End all sessions at once, as when their room is dismissed."""
        await self._do("stop", "")

    async def memory(self) -> dict[str, int]:
        """Ask for :func:`bench.media.serve.memory_in_use`."""
        in_use: dict[str, int] = await self._do("memory", "")
        return in_use

    async def stop(self) -> None:
        """See :class:`System`."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class _JanusHandle:
    """One session with one handle of the VideoRoom plugin."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._polling: asyncio.Task[None]

    async def open(self) -> "_JanusHandle":
        session = await self._post(_JANUS, {"janus": "create"})
        self._session = f"{_JANUS}/{session['data']['id']}"
        self._polling = asyncio.create_task(self._poll())
        handle = await self._post(self._session, {"janus": "attach", "plugin": "janus.plugin.videoroom"})
        self._handle = f"{self._session}/{handle['data']['id']}"
        return self

    async def _post(self, url: str, body: dict[str, Any]) -> Any:
        body["transaction"] = secrets.token_hex(6)
        return (await self._http.post(url, json=body)).json()

    async def _poll(self) -> None:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                for event in (await self._http.get(f"{self._session}?maxev=20", timeout=60)).json():
                    waiting = self._waiting.pop(event.get("transaction"), None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(event)

    async def say(self, body: dict[str, Any], jsep: dict[str, Any] | None = None) -> Any:
        """Send a message, and wait for its event."""
        name = secrets.token_hex(6)
        waiting = self._waiting[name] = asyncio.get_running_loop().create_future()
        message = {"janus": "message", "body": body, "transaction": name} | ({"jsep": jsep} if jsep else {})
        reply = (await self._http.post(self._handle, json=message)).json()
        if reply["janus"] == "success":
            del self._waiting[name]
            return reply
        async with asyncio.timeout(_PATIENCE):
            return await waiting

    def close(self) -> None:
        self._polling.cancel()


class Janus:
    """Debian's Janus with its VideoRoom plugin."""

    def __init__(self, process: asyncio.subprocess.Process, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._process, self._folder = process, folder
        self.pid = process.pid
        self._http = httpx.AsyncClient(limits=httpx.Limits(max_connections=None), trust_env=False)
        self._handles: list[_JanusHandle] = []
        self._room = secrets.randbelow(1 << 30)

    @classmethod
    async def start(cls, address: str, event_loops: int) -> "Janus":
        """Start it, and make a room."""
        folder = tempfile.TemporaryDirectory(prefix="janus-")
        _configure(Path(folder.name), address, event_loops)
        null = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec("janus", "-F", folder.name, stdout=null, stderr=null)
        janus = cls(process, folder)
        async with asyncio.timeout(_PATIENCE):
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    await janus._http.get(f"{_JANUS}/info")
                    break
                await asyncio.sleep(0.1)
        handle = await janus._open()
        body = {"request": "create", "room": janus._room, "publishers": 1000, "bitrate": 0, "videocodec": "vp8", "audiocodec": "opus"}
        await handle.say(body)
        return janus

    async def _open(self) -> _JanusHandle:
        handle = await _JanusHandle(self._http).open()
        self._handles.append(handle)
        return handle

    async def publish(self, publisher: Publisher) -> int:
        """See :class:`System`."""
        handle = await self._open()
        joined = await handle.say({"request": "join", "ptype": "publisher", "room": self._room})
        answer = await handle.say({"request": "publish"}, {"type": "offer", "sdp": await publisher.offer(), "trickle": False})
        await publisher.connect(answer["jsep"]["sdp"], answerer=False)
        return int(joined["plugindata"]["data"]["id"])

    async def subscribe(self, subscriber: Connection, feeds: list[int]) -> None:
        """See :class:`System`."""
        handle = await self._open()
        streams = [{"feed": feed} for feed in feeds]
        offered = await handle.say({"request": "join", "ptype": "subscriber", "room": self._room, "streams": streams})
        offer = offered["jsep"]["sdp"]
        answer = answer_to(offer, await subscriber.lines("active"))
        await handle.say({"request": "start", "room": self._room}, {"type": "answer", "sdp": answer, "trickle": False})
        await subscriber.connect(offer, answerer=True)

    async def settle(self) -> None:
        """See :class:`System`."""

    async def stop(self) -> None:
        """See :class:`System`."""
        for handle in self._handles:
            handle.close()
        await self._http.aclose()
        self._process.terminate()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._folder.cleanup()


def _configure(folder: Path, address: str, event_loops: int) -> None:
    [library] = Path("/usr/lib").glob("*/janus")
    plugins, transports = (",".join(f"libjanus_{name}.so" for name in names) for names in _UNUSED)
    folders = f'configs_folder="{folder}" ' + " ".join(
        f'{name}_folder="{library}/{name}"' for name in ("plugins", "transports", "events", "loggers")
    )
    loops = f"event_loops={event_loops}" if event_loops else ""
    (folder / "janus.jcfg").write_text(
        f"general: {{ {folders} debug_level=2 session_timeout=600 {loops} }}\nmedia: {{ ipv6=false }}\n"
        f'nat: {{ nice_debug=false ice_lite=false full_trickle=false ice_enforce_list="{address}" }}\n'
        f'plugins: {{ disable="{plugins}" }}\ntransports: {{ disable="{transports}" }}\n'
    )
    (folder / "janus.plugin.videoroom.jcfg").write_text("general: { string_ids=false }\n")
    (folder / "janus.transport.http.jcfg").write_text(
        'general: { json="compact" base_path="/janus" http=true port=8088 ip="127.0.0.1" https=false }\nadmin: { admin_http=false }\n'
    )


def missing() -> str | None:
    """Say what is not there to measure beside."""
    return None if shutil.which("janus") else "Janus is missing: apt-get install --no-install-recommends janus"

"""Debian's Firefox over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), as much of it as a visit of a page takes."""

import asyncio
import contextlib
import itertools
import json
import os
import re

from websockets.asyncio.client import connect

PROGRAM = "/usr/bin/firefox-esr"
PREFS = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    # Firefox sets a hundred more for those who automate it: this is about the one that people have.
    "remote.prefs.recommended": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.shutdown.fastShutdownStage": 3,
}
_SECONDS = 60
_LISTENING = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")


@contextlib.asynccontextmanager
async def firefox(profile, preload):
    """Run a browser with a fresh profile until the block ends; `preload` is run in every page before its own scripts."""
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFS.items()]
    (profile / "user.js").write_text("".join(lines))
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"),
        env=os.environ | {"HOME": str(profile)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        address = await _address(process.stderr)
        draining = asyncio.create_task(process.stderr.read())
        async with connect(f"{address}/session", max_size=None) as socket, Firefox(socket) as browser:
            await browser.send("session.new", capabilities={})
            await browser.send("session.subscribe", events=["log.entryAdded"])
            await browser.send("script.addPreloadScript", functionDeclaration=f"() => {{ {preload} }}")
            yield browser
            await browser.send("browser.close")
        async with asyncio.timeout(_SECONDS):
            await process.wait()
        await draining
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _address(stderr):
    async with asyncio.timeout(_SECONDS):
        said = b""
        while line := await stderr.readline():
            said += line
            if found := _LISTENING.search(line):
                return found[1].decode()
    raise AssertionError(f"Firefox ended: {said.decode(errors='replace')}")


class Firefox:
    """A connection to the browser: commands, their results, and what the pages' consoles say."""

    def __init__(self, socket):
        self._socket = socket
        self._ids = itertools.count(1)
        self._pending = {}
        self.complaints = []
        self._reading = None

    async def __aenter__(self):
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_error):
        self._reading.cancel()

    async def send(self, method, **params):
        """Send a command and return its result."""
        number = next(self._ids)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(_SECONDS):
            return await answer

    async def open(self, url):
        """Open a tab on a page and wait until it is loaded."""
        tab = Tab(self, (await self.send("browsingContext.create", type="tab"))["context"])
        await tab.goto(url)
        return tab

    async def _read(self):
        async for text in self._socket:
            message = json.loads(text)
            if message["type"] == "event":
                entry = message["params"]
                if entry["level"] in {"warn", "error"}:
                    self.complaints.append(entry["text"])
                continue
            answer = self._pending.pop(message["id"])
            if message["type"] == "success":
                answer.set_result(message["result"])
            else:
                answer.set_exception(AssertionError(f"{message['error']}: {message['message']}"))


class Tab:
    """One page, with Playwright's words for what is done to it."""

    def __init__(self, browser, context):
        self._browser = browser
        self._context = context

    async def goto(self, url):
        """Load a page."""
        await self._browser.send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, function, argument=None):
        """Call a JavaScript function with one argument, and return what it returns or resolves with."""
        source = f"async () => JSON.stringify((await ({function})({json.dumps(argument)})) ?? null)"
        return json.loads((await self._call(source))["value"])

    async def click(self, selector):
        """Click in the middle of an element, as a person."""
        element = await self._call(f"() => document.querySelector({json.dumps(selector)})")
        origin = {"type": "element", "element": {"sharedId": element["sharedId"]}}
        actions = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        await self._perform({"type": "pointer", "id": "mouse", "actions": actions})

    async def fill(self, selector, text):
        """Type over what a field holds."""
        await self.click(selector)
        await self.evaluate("(selector) => document.querySelector(selector).select()", selector)
        actions = [{"type": kind, "value": character} for character in text for kind in ("keyDown", "keyUp")]
        await self._perform({"type": "key", "id": "keyboard", "actions": actions})

    async def _perform(self, source):
        await self._browser.send("input.performActions", context=self._context, actions=[source])

    async def _call(self, source):
        answer = await self._browser.send(
            "script.callFunction", functionDeclaration=source, target={"context": self._context}, awaitPromise=True
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return answer["result"]

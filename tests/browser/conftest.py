"""Real browsers at a Stagedoor of their own. To be run by `in_namespace.py`, which makes a network that they connect media in."""

import contextlib
import json
from pathlib import Path

import pytest
import pytest_asyncio

from tests.browser.chromium import FAKE_DEVICES, chromium
from tests.browser.in_namespace import ADDRESS, PROXY_ADDRESS
from tests.browser.stagedoor import Stagedoor
from tests.browser.udp_proxy import UdpProxy
from tests.browser.visitors import Application, Person

HERE = Path(__file__).parent
WATCH = (HERE / "watch.js").read_text()


def pytest_collection_modifyitems(items):
    """Browser and Stagedoor live as long as the session, and everything about them in its loop."""
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stagedoor(tmp_path_factory):
    """Everything, started by `stagedoor up`. In the end no service may have complained in its log, except of what a test expects."""
    async with running(Stagedoor(tmp_path_factory.mktemp("stagedoor"))) as it:
        yield it


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def proxied(tmp_path_factory):
    """Another one, with all codecs, whose media comes and goes through a proxy."""
    settings = {"MEDIA_HOST": ADDRESS, "MEDIA_ADVERTISE": PROXY_ADDRESS, "MEDIA_CODECS": "opus,VP8,H264,VP9,AV1"}
    it = Stagedoor(tmp_path_factory.mktemp("proxied"), **settings)
    async with running(it), UdpProxy(PROXY_ADDRESS, ADDRESS, it.ports["MEDIA"]) as proxy:
        yield it, proxy


@pytest.fixture
def proxy(proxied):
    """The path of `by_proxy`; each test finds it as if it were not there."""
    _, it = proxied
    it.reset()
    yield it
    it.reset()


@contextlib.asynccontextmanager
async def running(it):
    """Run it until the block ends."""
    await it.start()
    try:
        yield it
    finally:
        await it.stop()
    complaints = [
        line
        for log in it.directory.glob("*.log")
        for line in log.read_text().splitlines()
        if not line.startswith("{") or (json.loads(line)["level"] in {"error", "critical"} and json.loads(line)["event"] not in it.expected)
    ]
    assert complaints == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def profile(tmp_path_factory):
    """The directory of the browser's profile."""
    return tmp_path_factory.mktemp("chromium")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(profile):
    """Chromium, with a camera and a microphone."""
    async with chromium(profile, FAKE_DEVICES) as running:
        yield running


class Visits:
    """The pages of one test. What their consoles say has to be expected."""

    def __init__(self, stagedoor, browser):
        self.stagedoor = stagedoor
        self.browser = browser
        self.complaints = []
        self._expected = []
        self._contexts = []

    def expects(self, *complaints):
        """Expect these errors and warnings in the consoles, and no others."""
        self._expected.extend(complaints)

    async def page(self, url=None, *, browser=None, permissions=("camera", "microphone"), **options):
        """Open the demo page in a browsing context of its own, whose user gives it permission for these devices."""
        context = await (browser or self.browser).new_context(**options)
        self._contexts.append(context)
        url = url or self.stagedoor.url
        await context.grant_permissions(permissions, origin=url)
        await context.add_init_script(WATCH)
        page = await context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(url)
        return page

    async def person(self, url=None, **options):
        """Open the demo page for a person."""
        return Person(await self.page(url, **options))

    async def forbid(self, page, *devices):
        """Deny the page camera or microphone, as a user does in the browser's settings."""
        session = await page.context.new_cdp_session(page)
        context = (await session.send("Target.getTargetInfo"))["targetInfo"]["browserContextId"]
        for name in devices:
            setting = {"permission": {"name": name}, "setting": "denied", "origin": page.url, "browserContextId": context}
            await session.send("Browser.setPermission", setting)

    async def application(
        self, user, room, *, mode="rtc", role="anchor", publishes=False, proxy=None, relay=None, codec=None, small=False, **config
    ):
        """Open a page, join with the SDK, with what is said about the way; publish if asked to, in a codec or a small size, too."""
        it = Application(self.stagedoor, await self.page(), user, room, mode=mode, role=role)
        await it.prepare(**config)
        if proxy:
            await it.page.evaluate("(proxy) => watch.client.setProxyServer(proxy)", proxy)
        if relay:
            await it.page.evaluate("(relay) => watch.client.setTurnServer(relay)", relay)
        if codec:
            await it.page.evaluate("(codec) => watch.sendOnly(codec)", codec)
        if small:
            await it.page.evaluate("() => watch.client.enableSmallStream()")
        assert await it.join() == {"resolved": True}
        if publishes:
            await it.publish()
        return it

    async def end(self):
        """Close all pages."""
        for context in self._contexts:
            for page in context.pages:
                # pytest shows it where the test has failed.
                print(page.url, await page.evaluate("() => [window.watch?.heard, document.getElementById('log')?.innerText]"))  # noqa: T201
            await context.close()
        assert sorted(self.complaints) == sorted(self._expected)

    def _on_console(self, message):
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)


@pytest_asyncio.fixture(loop_scope="session")
async def visits(stagedoor, browser):
    """Open pages; they are closed when the test has ended."""
    async with contextlib.AsyncExitStack() as stack:
        it = Visits(stagedoor, browser)
        stack.push_async_callback(it.end)
        yield it


@pytest_asyncio.fixture(loop_scope="session")
async def by_proxy(proxied, browser):
    """Open pages of the Stagedoor behind the proxy."""
    async with contextlib.AsyncExitStack() as stack:
        it = Visits(proxied[0], browser)
        stack.push_async_callback(it.end)
        yield it


@pytest.fixture
def room(request):
    """A room that no other test is in."""
    numbers = request.config.stash.setdefault(_ROOMS, iter(range(1000, 10_000)))
    return next(numbers)


_ROOMS = pytest.StashKey()

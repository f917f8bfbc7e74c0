"""Those who visit: people at the demo page, who use its controls, and applications that use the SDK."""

from tests.browser.waiting import until

REPLACED = "client was banned because of duplicated userId joining the room."
REMOVED = "client was banned because of you got banned by account admin"
DISMISSED = "client was banned because of the room has been disbanded by the admin."

IN = ("connection-state-changed", "CONNECTING", "CONNECTED")
OUT = ("connection-state-changed", "CONNECTED", "DISCONNECTED")
AWAY = ("connection-state-changed", "CONNECTED", "RECONNECTING")
BACK = ("connection-state-changed", "RECONNECTING", "CONNECTED")
OUT_WHILE_AWAY = ("connection-state-changed", "RECONNECTING", "DISCONNECTED")
CLIENT_BANNED = 0x4040
KICKED = ("client-banned", "kick", CLIENT_BANNED, REPLACED)
BANNED = ("client-banned", "banned", CLIENT_BANNED, REMOVED)
DISBANDED = ("client-banned", "room-disband", CLIENT_BANNED, DISMISSED)

_MORE = 10
"""So many frames and packets more are no accident."""


class Person:
    """A person at the demo page, in any browser that has Playwright's words."""

    def __init__(self, page):
        self.page = page

    async def join(self, room, *, user=None, by_string=False, audience=False):
        """Fill in the form, join, and wait until sending or receiving begins. Return the userId."""
        if user is not None:
            await self.page.fill("#user", user)
        await self.page.fill("#room", str(room))
        if by_string:
            await self.page.click("#kind-string")
        if audience:
            await self.page.select_option("#mode", "live")
            await self.page.select_option("#role", "audience")
        user = await self.page.evaluate("() => document.getElementById('user').value")
        earlier = len(await self.heard())
        await self.page.click("#join")
        await self.hears(("joined", str(room)) if audience else ("published", user), after=earlier)
        return user

    async def heard(self):
        """Read the panel of what the page heard."""
        lines = "[...document.querySelectorAll('[data-log] li')].map((line) => [line.dataset.event, line.dataset.detail])"
        return [tuple(line) for line in await self.page.evaluate(f"() => {lines}")]

    async def hears(self, event, *, after=0):
        """Wait until the page hears an event, `after` so many others; return all that it has heard."""

        async def has_heard():
            heard = await self.heard()
            return heard if event in heard[after:] else None

        return await until(has_heard)

    async def sees(self, user):
        """Wait until more and more of the user's pictures are decoded and more and more of the sound arrives."""
        tile = f'.tile[data-user="{user}"]'
        await _comes_in(lambda: self.page.evaluate("(tile) => watch.playing(tile)", tile))

    async def banner(self):
        """Wait for the banner and read it."""
        return await self._words("#banner-text")

    async def notice(self):
        """Wait for the notice and read it."""
        return await self._words("#notice")

    async def captured(self):
        """Say what became of the tracks of camera and microphone: {kind: readyState}."""
        return {track["kind"]: track["readyState"] for track in await self.page.evaluate("() => watch.captured()")}

    async def _words(self, selector):
        async def shown():
            words = "(selector) => { const found = document.querySelector(selector); return found.checkVisibility() && found.textContent; }"
            return await self.page.evaluate(words, selector)

        return await until(shown)


class Application:
    """An application that uses the SDK, in a page that does nothing else."""

    def __init__(self, stagedoor, page, user, room, *, mode="rtc", role="anchor"):
        self.page = page
        self.user = user
        self._stagedoor = stagedoor
        self._mode = mode
        self._options = {"roomId": room, "role": role}

    async def prepare(self, **config):
        """Create the client; the arguments go over what it would have by itself."""
        own = {
            "mode": self._mode,
            "sdkAppId": self._stagedoor.app,
            "userId": self.user,
            "userSig": self._stagedoor.sign(self.user),
            "useStringRoomId": isinstance(self._options["roomId"], str),
        }
        await self.page.evaluate("(config) => watch.createClient(config)", own | config)

    async def join(self, **options):
        """Join the room, or say why not: {resolved} or {name, code, extra, message}."""
        return await self.page.evaluate("(options) => watch.outcome(watch.client.join(options))", self._options | options)

    async def subscribe(self, user, **options):
        """Subscribe to a user's stream."""
        call = "([user, options]) => watch.outcome(watch.client.subscribe(watch.streamOf(user), options))"
        return await self.page.evaluate(call, [user, options])

    async def unsubscribe(self, user):
        """Unsubscribe from a user's stream."""
        return await self.page.evaluate("(user) => watch.outcome(watch.client.unsubscribe(watch.streamOf(user)))", user)

    async def publish(self):
        """Publish camera and microphone."""
        await self.page.evaluate("(user) => watch.publish(user)", self.user)

    async def switch_role(self, role):
        """Become anchor or audience."""
        return await self.page.evaluate("(role) => watch.outcome(watch.client.switchRole(role))", role)

    async def connections(self):
        """Say in which states the connections are that this page has made for media, in order."""
        return await self.page.evaluate("() => watch.connections.map((one) => one.connectionState)")

    async def leave(self):
        """Leave the room."""
        return await self.page.evaluate("() => watch.outcome(watch.client.leave())")

    async def heard(self, *only):
        """Say what the application heard, in order; `only` of these events."""
        heard = [tuple(each) for each in await self.page.evaluate("() => watch.heard")]
        return [each for each in heard if not only or each[0] in only]

    async def hears(self, *event, times=1):
        """Wait until the application has heard an event that begins so, so many times; return all that it has heard."""

        async def has_heard():
            heard = await self.heard()
            return heard if sum(each[: len(event)] == event for each in heard) >= times else None

        return await until(has_heard)

    async def sees(self, user):
        """Wait until more and more of the user's pictures are decoded and more and more of the sound arrives."""
        await _comes_in(lambda: self.page.evaluate("(user) => watch.receiving(user)", user))

    async def picture(self, user):
        """Say how a user's picture comes in, by the browser's own counts; None where it does not."""
        return await self.page.evaluate("(user) => watch.picture(user)", user)

    async def picture_sent(self):
        """Say how one's own picture goes out: by its size's name, or without one."""
        return await self.page.evaluate("() => watch.pictureSent()")

    async def decodes(self, user, frames):
        """Wait until so many frames more of a user's picture are decoded; return how it comes in then."""
        first = (await self.picture(user) or {}).get("framesDecoded", 0)

        async def has_decoded():
            now = await self.picture(user)
            return now if now and now["framesDecoded"] >= first + frames else None

        return await until(has_decoded, 60)

    async def sent(self):
        """Count the packets of media that this page has sent, whether anybody takes them or not."""
        return await self.page.evaluate("() => watch.sentPackets()")

    async def received(self):
        """Count the packets of media that this page has received."""
        return await self.page.evaluate("() => watch.receivedPackets()")

    async def arrived(self):
        """Count all packets that arrived at this page's connections: media that it does not expect, too, and checks of the connection."""
        return await self.page.evaluate("() => watch.arrivedPackets()")

    async def sends(self, packets):
        """Wait until this page has sent so many packets more."""
        first = await self.sent()

        async def has_sent():
            return await self.sent() >= first + packets

        await until(has_sent)


async def is_out(application, *ways):
    """Check that the application heard the ways in and out, and nothing of the room after them."""
    await application.hears(*ways[-1])
    heard = await application.heard()
    assert heard[-len(ways) :] == list(ways)
    return heard


async def _comes_in(look):
    first = await until(lambda: _both(look))

    async def more():
        now = await _both(look)
        return now is not None and all(each >= before + _MORE for each, before in zip(now, first, strict=True))

    await until(more)


async def _both(look):
    stats = await look()
    if not stats["audio"] or not stats["video"]:
        return None
    counts = stats["audio"]["packets"], stats["video"]["frames"]
    return counts if all(counts) else None

"""What the other tests show counts for ordinary browsers only."""

from pathlib import Path

# Not taken from where they are given: whoever adds one has to say so here, too.
FLAGS = {
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--remote-debugging-pipe",
}
GATHERED = """() => new Promise((resolve) => {
  const connection = new RTCPeerConnection();
  const candidates = [];
  connection.onicecandidate = ({ candidate }) => (candidate ? candidates.push(candidate.address) : resolve(candidates));
  connection.createDataChannel('any');
  connection.setLocalDescription();
})"""


def command_line(profile):
    """Read the command line of the browser process of a profile."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().rstrip("\0").split("\0")
        except OSError:
            continue
        if f"--user-data-dir={profile}" in words and not any(word.startswith("--type=") for word in words):
            return words
    raise AssertionError(f"no browser runs with {profile}")


def debians():
    """Read what Debian's launcher and its settings may add for every user."""
    return "".join(path.read_text() for path in (Path("/usr/bin/chromium"), *Path("/etc/chromium.d").iterdir()))


async def test_no_flag_helps(browser, profile):
    """The browser runs with the flags of this suite and of Debian: none for loopback, autoplay, mDNS or any other feature."""
    assert browser.is_connected()
    own = FLAGS | {f"--user-data-dir={profile}", "about:blank"}
    words = set(command_line(profile)[1:])
    debian = debians()
    assert own <= words
    assert [word for word in words - own if word.partition("=")[0] not in debian] == []


async def test_addresses_are_hidden(visits):
    """A page without permission for a device gathers mDNS names only, as in ordinary browsers."""
    page = await visits.page(permissions=())
    candidates = await page.evaluate(GATHERED)
    assert candidates
    assert all(address.endswith(".local") for address in candidates), candidates

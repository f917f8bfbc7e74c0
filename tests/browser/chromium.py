"""Debian's Chromium as its users have it: no flag but what a machine without screen, camera and microphone needs."""

import contextlib

from playwright.async_api import async_playwright

PROGRAM = "/usr/bin/chromium"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FAKE_DEVICES = "--use-fake-device-for-media-stream"


@contextlib.asynccontextmanager
async def chromium(profile, *flags):
    """Run a browser with a fresh profile until the block ends."""
    # None of Playwright's own flags, which change what this is about: autoplay, mDNS, throttling, features.
    flags = [*FLAGS, *flags, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=flags, ignore_default_args=True)
        try:
            yield browser
        finally:
            await browser.close()

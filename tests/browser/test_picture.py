"""The README's picture of the page."""

import asyncio
import os
from pathlib import Path

PICTURE = Path(__file__).parents[2] / "docs/page.png"


async def test_picture(visits, tmp_path):
    """Two people, each seen by the other. With STAGEDOOR_SCREENSHOT=1 it is the README's from now on."""
    picture = PICTURE if "STAGEDOOR_SCREENSHOT" in os.environ else tmp_path / "page.png"
    ann, bob = await visits.person(viewport={"width": 1200, "height": 750}), await visits.person()
    for each, user in ((bob, "bob"), (ann, "ann")):
        await each.page.check("#use-test")
        await each.join(1234, user=user)
    await asyncio.gather(ann.sees("bob"), bob.sees("ann"))
    await ann.page.screenshot(path=picture, full_page=True)
    assert 10_000 < picture.stat().st_size < 300_000

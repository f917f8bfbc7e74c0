"""The README's picture of the page."""

import asyncio
import os
from pathlib import Path

import pytest

PICTURE = Path(__file__).parents[2] / "docs/page.png"


@pytest.mark.skipif("STAGEDOOR_SCREENSHOT" not in os.environ, reason="makes docs/page.png; asked for with STAGEDOOR_SCREENSHOT=1")
async def test_picture(visits):
    """Two people, each seen by the other."""
    ann, bob = await visits.person(viewport={"width": 1200, "height": 750}), await visits.person()
    for each, user in ((bob, "bob"), (ann, "ann")):
        await each.page.check("#use-test")
        await each.join(1234, user=user)
    await asyncio.gather(ann.sees("bob"), bob.sees("ann"))
    await ann.page.screenshot(path=PICTURE, full_page=True)
    assert PICTURE.stat().st_size < 300_000

"""Waiting for what a page will show."""

import asyncio

SECONDS = 20.0
_PAUSE = 0.05


async def until(look, seconds=SECONDS):
    """Look until there is something to see, and return it; the failure says what was seen instead."""
    seen = None
    try:
        async with asyncio.timeout(seconds):
            while not (seen := await look()):
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise AssertionError(f"{look.__qualname__} saw {seen!r} for {seconds:.0f} s") from None
    return seen

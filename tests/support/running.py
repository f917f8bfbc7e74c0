"""Running a service inside a test, on a port that the kernel chooses."""

import asyncio
import contextlib

import httpx


@contextlib.asynccontextmanager
async def running(service, *, ready=True):
    """Serve until the block ends; what ends the service with an error is raised here."""
    serving = asyncio.create_task(service.serve())
    listening = asyncio.create_task(service.listening())
    try:
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        if ready and not serving.done():
            await until_ready(service)
        yield "http://{}:{}".format(*service.address)
    finally:
        listening.cancel()
        service.stop()
        await serving


async def until_ready(service):
    """Ask /readyz until it says yes."""
    await until_answers("http://{}:{}/readyz".format(*service.address))


async def until_answers(url, seconds=20.0):
    """Ask until the answer is 200."""
    async with asyncio.timeout(seconds), httpx.AsyncClient() as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.02)

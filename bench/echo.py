"""The other end of a bare request/reply: answers with what it is asked. Run by the measurements, with a NATS URL."""

import asyncio
import sys

import nats
import uvloop
from nats.aio.msg import Msg

SUBJECT = "bench.echo"


async def main(url: str) -> None:
    """Answer until the process is ended."""
    connection = await nats.connect(url.split(","))

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    await connection.subscribe(SUBJECT, cb=answer)
    await connection.flush()
    print("true", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))

"""Our engine alone in a process, told what to do by lines of JSON: the media of a gateway without its signalling.

Run by ``bench.media``: .venv/bin/python -m bench.media.serve ADDRESS ENGINE.
"""

import asyncio
import gc
import json
import sys
from typing import Any

import uvloop

from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.interface import Offer
from services.edge_gateway.media.settings import MediaSettings


class Server:
    """Serves one line after the other."""

    def __init__(self) -> None:
        self.engine: UdpMediaEngine
        self.offers: asyncio.Queue[Offer] = asyncio.Queue()
        self.sessions: set[str] = set()

    async def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a line says."""
        session = request["session"]
        self.sessions.add(session)
        match request["do"]:
            case "publish":
                published = await self.engine.publish(session, request["sdp"])
                return {"sdp": published.sdp, "tracks": [track.id for track in published.tracks]}
            case "subscribe":
                await self.engine.subscribe(session, frozenset(request["tracks"]))
                offer = await self.offers.get()
                return {"sdp": offer.sdp, "number": offer.number}
            case "answer":
                await self.engine.answer(session, request["number"], request["sdp"])
                return {}
            case "stop":
                await self.engine.stop(*self.sessions)
                return {}
            case "settle":
                gc.collect()
                gc.freeze()
                return {}
        raise ValueError(request["do"])


async def main() -> None:
    """Serve until the input ends."""
    server = Server()
    settings = MediaSettings(host=sys.argv[1], port=0, engine=sys.argv[2], max_subscriptions=60)  # type: ignore[arg-type]
    server.engine = await UdpMediaEngine.start(settings, server.offers.put_nowait)
    server.engine.allow_until(None)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await server.do(json.loads(line))), flush=True)
    await server.engine.close()


if __name__ == "__main__":
    uvloop.run(main())

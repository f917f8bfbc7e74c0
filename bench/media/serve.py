"""Our engine alone in a process, told what to do by lines of JSON: the media of a gateway without its signalling.

Run by ``bench.media``: .venv/bin/python -m bench.media.serve ADDRESS ENGINE.
"""

import asyncio
import ctypes
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

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
                self.sessions.clear()
                return {}
            case "memory":
                return memory_in_use()
            case "settle":
                gc.collect()
                gc.freeze()
                return {}
        raise ValueError(request["do"])


class _Mallinfo(ctypes.Structure):
    """What glibc tells of its heap."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def memory_in_use() -> dict[str, int]:
    """Say what is in use, whatever the kernel or an allocator keeps for later.

    Returns:
        How many objects there are that can hold others, how many blocks Python has of its own, how many bytes malloc has given to it and to
        libraries, mapped ones included; and the bytes that are resident.
    """
    gc.collect()
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    heap = mallinfo()
    return {
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "bytes": heap.uordblks + heap.hblkhd,
        "resident": _resident(),
    }


def _resident() -> int:
    with Path("/proc/self/statm").open() as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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

"""From DismissRoom over HTTP until the last of a room's sessions has the message, beside a bare loop over the same library.

Run: .venv/bin/python -m bench.dismiss. One gateway holds all sessions, without media; the browsers are two other processes.
The bare loop is a server that is set up as the gateway's is and does nothing but send the same message to as many sockets;
it sends before and after the dismissal, and the middle one of its times counts.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import time

from stagedoor_client import SignallingClient

from bench.back_end import BackEnd
from bench.figures import milliseconds, p50, table
from bench.installation import APP, Installation, Talking, run, talking, user_sig

CROWDS = 2
ROOM = 1
PROBED_ROOM = 2
_ROUNDS = 3
"""Of the bare loop, before the dismissal, and again after it."""
_HEARD_SECONDS = 120.0


class Crowds:
    """Processes that hold the sockets of one server."""

    def __init__(self, crowds: list[Talking]) -> None:
        self._crowds = crowds

    @classmethod
    async def gather(cls, stack: contextlib.AsyncExitStack, port: int, sessions: int, room: int | None) -> "Crowds":
        """Bring so many sockets to a server, and into a room of it."""
        crowds = []
        for number in range(CROWDS):
            crowd = await stack.enter_async_context(talking("bench.crowd"))
            first, end = sessions * number // CROWDS, sessions * (number + 1) // CROWDS
            crowd.tell({"host": "127.0.0.1", "port": port, "first": first, "count": end - first, "room": room})
            crowds.append(crowd)
        for crowd in crowds:
            await crowd.hear()
        return cls(crowds)

    async def last_heard(self) -> float:
        """Wait until every socket has heard one more ``ended``; returns the monotonic time of the last."""
        async with asyncio.timeout(_HEARD_SECONDS):
            return max([float(str(await crowd.hear())) for crowd in self._crowds])


async def told(back_end: BackEnd, request: bytes, crowds: Crowds) -> float:
    """Send a request that causes messages; returns the seconds until the last was heard."""
    began = time.monotonic()
    back_end.send(request)
    seconds = await crowds.last_heard() - began
    await back_end.answer()
    return seconds


async def ended_text(gateway: str, admin: str) -> str:
    """Dismiss a room of one session, and return what that heard."""
    async with BackEnd.connect(admin) as back_end, SignallingClient.open(gateway) as client:
        await client.join(app=APP.sdk_app_id, user="probe", sig=user_sig("probe"), room=PROBED_ROOM)
        back_end.send(back_end.prepare("DismissRoom", RoomId=PROBED_ROOM))
        message = await client.expect("ended")
        await client.acknowledge()
        await back_end.answer()
    return json.dumps(message, separators=(",", ":"))


async def measure(sessions: int, *, cluster: bool) -> None:
    """Measure and print."""
    async with contextlib.AsyncExitStack() as stack:
        installation = await stack.enter_async_context(Installation(cluster=cluster, max_connections=sessions + 100))
        _, gateway, admin = [await installation.start(name) for name in ("room_registry", "edge_gateway", "admin_api")]
        text = await ended_text(gateway.address, admin.address)
        server = await stack.enter_async_context(talking("bench.bare_server"))
        port = int(str(await server.hear()))
        loop_crowds = await Crowds.gather(stack, port, sessions, None)
        began = time.monotonic()
        crowds = await Crowds.gather(stack, gateway.port, sessions, ROOM)
        joining = time.monotonic() - began

        async def loop_once() -> float:
            async with BackEnd.connect(f"http://127.0.0.1:{port}") as bare:
                return await told(bare, bare.post("/", text.encode(), {"Host": "localhost"}), loop_crowds)

        loops = [await loop_once() for _ in range(_ROUNDS)]
        async with BackEnd.connect(admin.address) as back_end:
            dismissal = await told(back_end, back_end.prepare("DismissRoom", RoomId=ROOM), crowds)
        loops += [await loop_once() for _ in range(_ROUNDS)]
    print(f"DismissRoom over HTTP until the last of {sessions:,} sessions on one gateway has the message (they joined in {joining:.0f} s)")
    bare = p50(loops)
    row = [milliseconds(bare), milliseconds(min(loops)), milliseconds(max(loops)), milliseconds(dismissal), f"{dismissal / bare:.2f}"]
    table(["bare loop, middle", "least", "most", "dismissal", "ratio (<= 1.5)"], row)


async def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--cluster", action="store_true", help="three NATS servers, streams of three replicas")
    arguments = parser.parse_args()
    sessions = min(arguments.sessions, allow_sockets())
    if sessions < arguments.sessions:
        print(f"a process may open {sessions:,} sockets here, so that many are taken, not {arguments.sessions:,}")
    await measure(sessions, cluster=arguments.cluster)


def allow_sockets() -> int:
    """Raise this process's bound on open files, which its processes inherit, and return how many sockets it leaves to each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - 200


if __name__ == "__main__":
    run(main())

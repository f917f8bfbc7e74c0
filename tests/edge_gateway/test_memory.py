"""A gateway's memory is the same after any number of sessions."""

import asyncio
import gc
import heapq

from bench.media.serve import memory_in_use
from services.edge_gateway.session import Session
from tests.edge_gateway.media.test_worker import until
from tests.support.cycles import CYCLES, OBJECTS, grown


def no_session_is_left() -> bool:
    """Tell whether all that have ended are garbage."""
    gc.collect()
    return not any(isinstance(each, Session) for each in gc.get_objects())


def forget_cancelled_timers() -> None:
    """Have the loop let go of them now; otherwise it does when there are enough of them, or when they are due."""
    loop = asyncio.get_running_loop()
    loop._scheduled[:] = [handle for handle in loop._scheduled if not handle.cancelled()]
    heapq.heapify(loop._scheduled)
    loop._timer_cancelled_count = 0


async def test_sessions_leave_nothing_behind_in_a_gateway(gateway, registry):
    """Who publishes and who receives, over sockets of their own, the one who leaves and the one whose tab is closed."""

    async def cycle() -> None:
        async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
            stream = (await ann.request("publish", kind="main", sdp="v=0 offer"))["stream"]
            await bob.expect("stream_added")
            await bob.request("subscribe", stream=stream, audio=True, video=True)
            await ann.request("leave")
            await bob.expect("peer_left")
        await until(lambda: gateway.service.metrics.registry.get_sample_value("stagedoor_gateway_sessions") == 0)

    async def measure() -> dict[str, int]:
        # A session that left waits for the next round of hearing.
        await until(no_session_is_left)
        # What the test itself remembers.
        gateway.media.calls.clear()
        gateway.media.offers.clear()
        registry.ended.clear()
        while not registry.commands.empty():
            registry.commands.get_nowait()
        forget_cancelled_timers()
        return memory_in_use()

    growing = await grown(cycle, measure, cycles=CYCLES // 2, warm_up=10)
    # Not the blocks: pydantic keeps up to 16,384 short strings of what it has read.
    assert growing["objects"] < OBJECTS, growing

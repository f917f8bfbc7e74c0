"""A media worker: ``python -m services.edge_gateway.media.worker FD PARENT``, started by :mod:`~services.edge_gateway.media.process`.

The process in which packets are forwarded, and nothing else is done. It has the engine, obeys the control process over the socket
FD, and ends when that hangs up, or when the control process, whose id is PARENT, is gone.
"""

import asyncio
import ctypes
import os
import signal
import socket
import sys

import structlog
import uvloop

from services.edge_gateway.media import boundary
from services.edge_gateway.media.boundary import BrokenChannelError, Channel
from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.interface import MediaRefusedError
from shared import logging
from shared.contracts.errors import ConfigurationError
from shared.process import collect_less

log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1
_CLOSE_SECONDS = 1.0


async def serve(sock: socket.socket) -> None:
    """Do what comes over the socket, until the other end hangs up."""
    channel = await Channel.over(sock, boundary.to_worker)
    try:
        engine = await _start(channel)
        if engine is not None:
            await _serve(engine, channel)
    except BrokenChannelError as error:
        log.warning("media_worker_not_started", reason=str(error))
    finally:
        await channel.close()


async def _start(channel: Channel[boundary.ToWorker]) -> UdpMediaEngine | None:
    start = await channel.receive()
    if not isinstance(start, boundary.Start):
        raise BrokenChannelError(f"{start.type} came before start")
    logging.configure("media_worker", start.log_level)
    try:
        engine = await UdpMediaEngine.start(
            start.settings,
            lambda offer: channel.send(boundary.Offered(offer=offer)),
            on_failed=lambda failure: channel.send(boundary.Failed(failure=failure)),
            on_said=lambda said: channel.send(boundary.Word(said=said)),
            may_offer=lambda: not channel.is_behind,
        )
    except ConfigurationError as error:
        channel.send(boundary.NotStarted(reason=str(error)))
        return None
    channel.send(boundary.Started(port=engine.port))
    return engine


async def _serve(engine: UdpMediaEngine, channel: Channel[boundary.ToWorker]) -> None:
    try:
        while True:
            match await channel.receive():
                case boundary.Request(number=number, call=call):
                    channel.send(boundary.Reply(number=number, result=await _call(engine, call)))
                case boundary.AllowUntil(deadline=deadline):
                    engine.allow_until(deadline)
                case boundary.Ping():
                    channel.send(boundary.Pong(measures=engine.measures()))
                case boundary.Start():
                    log.error("media_worker_started_twice")
                    return
    except BrokenChannelError as error:
        log.info("media_worker_ends", reason=str(error))
    finally:
        await _close(engine)


async def _call(engine: UdpMediaEngine, call: boundary.Call) -> boundary.Result:
    try:
        return await _carry_out(engine, call)
    except MediaRefusedError as error:
        return boundary.Refused(code=error.code, message=error.message, limit=error.limit)
    except Exception as error:
        log.exception("media_call_broken", call=call.call)
        return boundary.Broke(reason=type(error).__name__)


async def _carry_out(engine: UdpMediaEngine, call: boundary.Call) -> boundary.Result:
    # The engine never suspends: what was asked first is done when the next is looked at.
    match call:
        case boundary.Stop(sessions=sessions, notice=notice):
            return boundary.HasStopped(stopped=await engine.stop(*sessions, notice=notice))
        case boundary.Publish(session=session, offer=offer):
            return boundary.Taken(published=await engine.publish(session, offer))
        case boundary.RestartPublication(session=session, offer=offer):
            return boundary.Restarted(sdp=await engine.restart_publication(session, offer))
        case boundary.RestartSubscription(session=session):
            await engine.restart_subscription(session)
        case boundary.Unpublish(session=session):
            await engine.unpublish(session)
        case boundary.Mute(session=session, kinds=kinds):
            await engine.mute(session, kinds)
        case boundary.Subscribe(session=session, tracks=tracks, small=small):
            await engine.subscribe(session, tracks, small)
        case boundary.Unsubscribe(session=session):
            await engine.unsubscribe(session)
        case boundary.Answer(session=session, number=number, sdp=sdp):
            await engine.answer(session, number, sdp)
    return boundary.Done()


async def _close(engine: UdpMediaEngine) -> None:
    """Say goodbye to every client."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await engine.close()
    except TimeoutError:
        log.warning("media_left_behind")


def die_with(parent: int) -> None:
    """Have the kernel kill this process, at once and for certain, when its parent dies. Elsewhere than on Linux the socket says it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the control process has died")


def main() -> None:
    """Run as a process."""
    # Ctrl-C and supervisors signal the whole group. The control process decides when media ends: after the drain.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    fd, parent = map(int, sys.argv[1:])
    die_with(parent)
    collect_less()
    uvloop.run(serve(socket.socket(fileno=fd)))


if __name__ == "__main__":
    main()

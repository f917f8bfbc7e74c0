"""A media worker as the control process sees it: started, asked, watched, and reaped.

What is certain of a worker is its answer, or that it is dead: the kernel says so once it has been reaped. One that says nothing for
some seconds, frozen or caught in a loop, is killed, for between the two there is nothing to report.

WorkerLostError            the caller: the worker died before it answered
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable

import structlog

from services.edge_gateway.media import boundary
from services.edge_gateway.media.boundary import BrokenChannelError, Channel
from services.edge_gateway.media.interface import Offer, Said, TransportFailed
from services.edge_gateway.media.measures import Measures
from services.edge_gateway.media.settings import MediaSettings
from shared.contracts.errors import ConfigurationError, StagedoorError

log = structlog.get_logger()

_START_SECONDS = 60.0
"""A machine that is busy takes its time to import everything."""
_BEAT = 1.0
"""Seconds from one ping to the next."""
_SILENT_BEATS = 5
"""Beats without a word after which a worker is killed. They are counted here, not timed: who was frozen himself blames nobody."""
_END_SECONDS = 2.0
"""What a worker has for its goodbyes."""


class WorkerLostError(StagedoorError):
    """The worker is dead; ``at`` is when it was reaped, in Unix seconds."""

    def __init__(self, at: float) -> None:
        super().__init__("the media worker has died")
        self.at = at


class Worker:
    """One process, from its start to its reaping. Made by :meth:`start`.

    Args:
        process: it listens.
        channel: to it.
        heard: gets what it says by itself; does not raise.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        channel: Channel[boundary.FromWorker],
        heard: Callable[[Offer | TransportFailed | Said], None],
    ) -> None:
        self.pid = process.pid
        self.measures = Measures()
        """What it said that it has measured: each second it says it anew."""
        self._process = process
        self._channel = channel
        self._heard = heard
        self._calls: dict[int, asyncio.Future[boundary.Result]] = {}
        self._last_number = 0
        self._silent_beats = 0
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._beat = self._loop.call_later(_BEAT, self._watch)
        self._life = self._loop.create_task(self._live())

    @classmethod
    async def start(cls, settings: MediaSettings, log_level: str, heard: Callable[[Offer | TransportFailed | Said], None]) -> "Worker":
        """Start a process, and wait until it listens.

        Raises:
            ConfigurationError: it cannot have its port, or does not start at all.
        """
        process, channel = await _spawn()
        try:
            port = await _begin(channel, boundary.Start(settings=settings, log_level=log_level))
        except BaseException:
            await _reap(process, 0)
            await channel.close()
            raise
        log.info("media_worker_started", pid=process.pid, port=port)
        return cls(process, channel, heard)

    async def call(self, call: boundary.Call) -> boundary.Result:
        """Have something done.

        Raises:
            WorkerLostError: it may or may not have been done, which makes no difference any more.
        """
        if self._life.done():
            raise WorkerLostError(self._life.result())
        self._last_number += 1
        number = self._last_number
        self._calls[number] = self._loop.create_future()
        self._channel.send(boundary.Request(number=number, call=call))
        try:
            return await self._calls[number]
        finally:
            del self._calls[number]

    def allow_until(self, message: boundary.AllowUntil) -> None:
        """Pass a deadline on."""
        self._channel.send(message)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Have it end by itself; who does not within the time is killed."""
        self._closing = True
        await self._channel.close()
        await self.reaped()

    async def reaped(self) -> float:
        """Wait until it is dead for certain. Returns the Unix time of that, in seconds."""
        return await asyncio.shield(self._life)

    async def _live(self) -> float:
        try:
            while True:
                self._take(await self._channel.receive())
        except BrokenChannelError as error:
            reason = str(error)
        self._beat.cancel()
        code = await _reap(self._process, _END_SECONDS if self._closing else 0)
        at = time.time()
        await self._channel.close()
        if self._closing:
            log.info("media_worker_ended", pid=self.pid, code=code, reason=reason, calls=len(self._calls))
        else:
            log.error("media_worker_ended", pid=self.pid, code=code, reason=reason, calls=len(self._calls))
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(WorkerLostError(at))
        return at

    def _take(self, message: boundary.FromWorker) -> None:
        self._silent_beats = 0
        match message:
            case boundary.Reply(number=number, result=result):
                # Who asked may have given up.
                if (answer := self._calls.get(number)) is not None and not answer.done():
                    answer.set_result(result)
            case boundary.Offered(offer=news) | boundary.Failed(failure=news) | boundary.Word(said=news):
                self._heard(news)
            case boundary.Pong(measures=measures):
                self.measures = measures
            case boundary.Started() | boundary.NotStarted():
                raise BrokenChannelError(f"{message.type} came twice")

    def _watch(self) -> None:
        self._beat = self._loop.call_later(_BEAT, self._watch)
        if self._silent_beats >= _SILENT_BEATS:
            log.error("media_worker_silent", pid=self.pid, beats=self._silent_beats)
            self.kill()
        self._silent_beats += 1
        self._channel.send(boundary.Ping())


async def _spawn() -> tuple[asyncio.subprocess.Process, Channel[boundary.FromWorker]]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = (sys.executable, "-m", "services.edge_gateway.media.worker", str(theirs.fileno()), str(os.getpid()))
        # Nothing of ours is in its environment: who takes packets from everybody holds no keys.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STAGEDOOR_")}
        try:
            process = await asyncio.create_subprocess_exec(*command, pass_fds=[theirs.fileno()], env=environment)
        except BaseException:
            ours.close()
            raise
    return process, await Channel.over(ours, boundary.from_worker)


async def _begin(channel: Channel[boundary.FromWorker], start: boundary.Start) -> int:
    """Have a fresh worker listen. Returns its UDP port; raises ConfigurationError."""
    channel.send(start)
    try:
        async with asyncio.timeout(_START_SECONDS):
            first = await channel.receive()
    except BrokenChannelError as error:
        raise ConfigurationError(f"the media worker does not start: {error}") from error
    except TimeoutError:
        raise ConfigurationError(f"the media worker does not start within {_START_SECONDS:.0f} s") from None
    if not isinstance(first, boundary.Started):
        raise ConfigurationError(first.reason if isinstance(first, boundary.NotStarted) else f"the media worker began with {first.type}")
    return first.port


async def _reap(process: asyncio.subprocess.Process, seconds: float) -> int:
    """Wait for a process to end; after so many seconds, kill it. Returns its exit code, negative for a signal."""
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()

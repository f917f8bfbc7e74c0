"""The engine that the control process has: it asks a worker process, and starts another when that one ends."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import structlog

from services.edge_gateway.media import boundary
from services.edge_gateway.media.interface import Connection, Kind, MediaRefusedError, Offer, Published, Said, Stopped, TransportFailed
from services.edge_gateway.media.measures import Measures, sum_of
from services.edge_gateway.media.process import Worker, WorkerLostError
from services.edge_gateway.media.settings import MediaSettings
from shared.contracts.errors import ConfigurationError

log = structlog.get_logger()

_STEADY_SECONDS = 10.0
"""A worker that lived for so long is replaced at once."""
_RETRY_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0)
_TEXTS_AT_ONCE = 64
"""Calls with a client's SDP in them that are not answered yet. The next wait here: all clients' at once would fill the channel."""


class RemoteEngine:
    """Media in a process of its own, and in another when that is lost. It is a :class:`~.interface.MediaEngine`.

    Made by :meth:`start`. What was in a worker that died is gone, and ``on_failed`` is told of each peer connection. Until there is
    another worker, what needs one is refused as ``unavailable``; nobody waits for it in here, for he may have a removal to hear of.
    """

    def __init__(
        self,
        settings: MediaSettings,
        log_level: str,
        on_offer: Callable[[Offer], None],
        on_failed: Callable[[TransportFailed], None],
        on_said: Callable[[Said], None],
    ) -> None:
        self._settings = settings
        self._log_level = log_level
        self._on_offer = on_offer
        self._on_failed = on_failed
        self._on_said = on_said
        self._worker: Worker | None = None
        self._died_at = 0.0
        self._before = Measures()
        self._allowed: boundary.AllowUntil | None = None
        self._connections: dict[tuple[str, Connection], None] = {}
        self._asked_for: set[str] = set()
        """The sessions that the worker may have anything of."""
        self._keeping: asyncio.Task[None] | None = None
        self._texts = asyncio.Semaphore(_TEXTS_AT_ONCE)

    @classmethod
    async def start(
        cls,
        settings: MediaSettings,
        on_offer: Callable[[Offer], None],
        on_failed: Callable[[TransportFailed], None],
        on_said: Callable[[Said], None] = lambda _: None,
        *,
        log_level: str = "info",
    ) -> "RemoteEngine":
        """Start the first worker.

        Args:
            settings: where it listens, and how much it takes.
            on_offer: gets each offer for a session's client; it does not raise.
            on_failed: is told of each peer connection that will never be, or is no more; not of one that was ended. It does not raise.
            on_said: is told what clients answer to notices. It does not raise.
            log_level: of the worker.

        Raises:
            ConfigurationError: the UDP port cannot be had.
        """
        engine = cls(settings, log_level, on_offer, on_failed, on_said)
        worker = await engine._start_worker()
        engine._keeping = asyncio.create_task(engine._keep(worker))
        return engine

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker; None where there is none at the moment."""
        return None if self._worker is None else self._worker.pid

    def measures(self) -> Measures:
        """Say what was measured here, by the workers of before, too: what is counted never falls."""
        return sum_of([self._before] if self._worker is None else [self._before, self._worker.measures])

    async def publish(self, session: str, offer: str) -> Published:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        # Before the answer: the worker may be lost between that and whoever waits for it.
        self._connections[session, "publish"] = None
        try:
            async with self._texts:
                result = await self._ask(boundary.Publish(session=session, offer=offer))
        except MediaRefusedError as error:
            if error.code in {"unsupported_media", "media_limit"}:
                self._connections.pop((session, "publish"), None)
            raise
        assert isinstance(result, boundary.Taken)
        return result.published

    async def unpublish(self, session: str) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        self._connections.pop((session, "publish"), None)
        await self._ask_if_there(boundary.Unpublish(session=session))

    async def restart_publication(self, session: str, offer: str) -> str:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        result = await self._ask(boundary.RestartPublication(session=session, offer=offer))
        assert isinstance(result, boundary.Restarted)
        return result.sdp

    async def restart_subscription(self, session: str) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        await self._ask(boundary.RestartSubscription(session=session))

    async def mute(self, session: str, kinds: frozenset[Kind]) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        await self._ask_if_there(boundary.Mute(session=session, kinds=kinds))

    async def subscribe(self, session: str, tracks: frozenset[str], small: frozenset[str] = frozenset()) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        self._connections[session, "subscribe"] = None
        await self._ask(boundary.Subscribe(session=session, tracks=tracks, small=small))

    async def unsubscribe(self, session: str) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        self._connections.pop((session, "subscribe"), None)
        await self._ask_if_there(boundary.Unsubscribe(session=session))

    async def answer(self, session: str, number: int, sdp: str) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`."""
        async with self._texts:
            await self._ask_if_there(boundary.Answer(session=session, number=number, sdp=sdp))

    async def stop(self, *sessions: str, notice: str | None = None) -> Stopped:
        """See :class:`~services.edge_gateway.media.interface.MediaEngine`.

        The time is the worker's, taken behind its last send; or that of its reaping, where it died instead. Whom it has never heard
        of it has sent nothing to, and is not asked about: that is all of a large audience that only listens to signalling.
        """
        for session in sessions:
            self._connections.pop((session, "publish"), None)
            self._connections.pop((session, "subscribe"), None)
        worker = self._worker
        if worker is None:
            return Stopped(self._died_at)
        there = self._asked_for.intersection(sessions)
        if not there:
            return Stopped(time.time())
        try:
            result = await worker.call(boundary.Stop(sessions=tuple(there), notice=notice))
        except WorkerLostError as lost:
            return Stopped(lost.at)
        if isinstance(result, boundary.HasStopped):
            self._asked_for -= there
            return result.stopped
        log.error("media_worker_does_not_stop", pid=worker.pid, sessions=len(sessions))
        worker.kill()
        return Stopped(await worker.reaped())

    def allow_until(self, deadline: float | None) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        self._allowed = boundary.AllowUntil(deadline=deadline)
        if self._worker is not None:
            self._worker.allow_until(self._allowed)

    async def close(self) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        if self._worker is not None:
            await self._worker.close()

    async def _ask(self, call: boundary.SessionCall) -> boundary.Result:
        unavailable = MediaRefusedError("unavailable", "media begins anew at the moment")
        if self._worker is None:
            raise unavailable
        self._asked_for.add(call.session)
        try:
            result = await self._worker.call(call)
        except WorkerLostError:
            raise unavailable from None
        match result:
            case boundary.Refused(code=code, message=message, limit=limit):
                raise MediaRefusedError(code, message, limit)
            case boundary.Broke(reason=reason):
                raise RuntimeError(f"the media worker could not {call.call}: {reason}")
        return result

    async def _ask_if_there(self, call: boundary.SessionCall) -> None:
        """Ask for what needs no worker where there is none: what it is about went with it."""
        try:
            await self._ask(call)
        except MediaRefusedError as error:
            if error.code != "unavailable":
                raise

    async def _start_worker(self) -> Worker:
        worker = await Worker.start(self._settings, self._log_level, self._heard)
        if self._allowed is not None:
            worker.allow_until(self._allowed)
        self._worker = worker
        return worker

    async def _keep(self, worker: Worker) -> None:
        """Replace a worker that dies, as often as it takes."""
        attempts = 0
        began = time.monotonic()
        while True:
            self._died_at = await worker.reaped()
            self._worker = None
            self._before.add(worker.measures.ended())
            if time.monotonic() - began >= _STEADY_SECONDS:
                attempts = 0
            lost, self._connections = self._connections, {}
            self._asked_for.clear()
            for session, connection in lost:
                self._heard(TransportFailed(session, connection, "the media worker was lost"))
            while self._worker is None:
                await asyncio.sleep(_RETRY_SECONDS[min(attempts, len(_RETRY_SECONDS) - 1)])
                attempts += 1
                with _logged():
                    worker = await self._start_worker()
            began = time.monotonic()

    def _heard(self, news: Offer | TransportFailed | Said) -> None:
        try:
            if isinstance(news, Offer):
                self._on_offer(news)
            elif isinstance(news, Said):
                self._on_said(news)
            else:
                self._connections.pop((news.session, news.connection), None)
                self._on_failed(news)
        except Exception:  # one session's news; the others' are none the worse
            log.exception("media_news_lost", session=news.session)


@contextlib.contextmanager
def _logged() -> Iterator[None]:
    """Log that a worker did not start, and go on."""
    try:
        yield
    except (ConfigurationError, OSError) as error:
        log.error("media_worker_not_started", reason=str(error))  # noqa: TRY400 -- for the operator: the text says it all

"""All media workers of a gateway: each room is at one of them."""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.edge_gateway.media.advertise import candidates
from services.edge_gateway.media.interface import Offer, Said, TransportFailed
from services.edge_gateway.media.measures import Measures, sum_of
from services.edge_gateway.media.remote import RemoteEngine
from services.edge_gateway.media.settings import MediaSettings
from shared.contracts.ids import RoomKey


class MediaWorkers:
    """A gateway's media. It is a :class:`~services.edge_gateway.media.interface.MediaPlane`; made by :meth:`start`."""

    def __init__(self, engines: Sequence[RemoteEngine]) -> None:
        self.engines = tuple(engines)

    @classmethod
    async def start(
        cls,
        settings: MediaSettings,
        on_offer: Callable[[Offer], None],
        on_failed: Callable[[TransportFailed], None],
        on_said: Callable[[Said], None],
        *,
        log_level: str = "info",
    ) -> "MediaWorkers":
        """Start as many workers as the settings say; for the rest see :meth:`.remote.RemoteEngine.start`.

        Raises:
            ConfigurationError: a port cannot be had, or the address to advertise is not found.
        """
        # Once for all: a worker that takes another's place later is told what was found.
        settings = replace(settings, advertise=await candidates(settings))
        ports = range(settings.port, settings.port + settings.workers) if settings.port else [0] * settings.workers
        starting = (RemoteEngine.start(replace(settings, port=port), on_offer, on_failed, on_said, log_level=log_level) for port in ports)
        outcomes = await asyncio.gather(*starting, return_exceptions=True)
        workers = cls([outcome for outcome in outcomes if isinstance(outcome, RemoteEngine)])
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            await workers.close()
            raise failures[0]
        return workers

    def engine_of(self, room: RoomKey) -> RemoteEngine:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        return self.engines[zlib.crc32(repr(room).encode()) % len(self.engines)]

    def allow_until(self, deadline: float | None) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        for engine in self.engines:
            engine.allow_until(deadline)

    def measures(self) -> Measures:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        return sum_of(engine.measures() for engine in self.engines)

    def missing(self) -> list[str]:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        away = sum(engine.worker_pid is None for engine in self.engines)
        return [f"{away} of {len(self.engines)} media workers are not there"] if away else []

    async def close(self) -> None:
        """See :class:`~services.edge_gateway.media.interface.MediaPlane`."""
        await asyncio.gather(*(engine.close() for engine in self.engines))

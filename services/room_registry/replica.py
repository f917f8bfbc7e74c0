"""All partitions as this process knows them, folded from the stream."""

import structlog
from pydantic import ValidationError

from services.room_registry.domain.partition import Limits, Partition
from shared.bus.stream import EventStream
from shared.contracts.errors import StagedoorError
from shared.contracts.facts import Committed
from shared.contracts.ids import InvalidIdError
from shared.contracts.subjects import parse_subject

log = structlog.get_logger()

_PROGRESS_EVERY = 50_000


class CorruptStreamError(StagedoorError):
    """The stream holds what no registry wrote, or not all that one wrote. Serving from it would make it worse."""


class Replica:
    """The state of every partition, as far as it was read."""

    def __init__(self, stream: EventStream, partitions: int, limits: Limits) -> None:
        self.partitions = [Partition(limits) for _ in range(partitions)]
        self._stream = stream
        self._read = 0

    async def catch_up(self) -> None:
        """Fold everything that is committed now.

        Raises:
            UnavailableError: JetStream does not answer; calling again goes on from there.
            CorruptStreamError: a message cannot be folded.
        """
        until = await self._stream.last_seq()
        async for stored in self._stream.read(self._read, until):
            try:
                address = parse_subject(stored.subject)
                message = Committed.model_validate_json(stored.data)
                self.partitions[int(address.partition)].fold(stored.seq, address.key, message)
            except (InvalidIdError, ValidationError, ValueError, LookupError) as error:
                raise CorruptStreamError(f"message {stored.seq} on {stored.subject} cannot be folded: {error}") from error
            self._read = stored.seq
            if stored.seq % _PROGRESS_EVERY == 0:
                log.info("folding", seq=stored.seq, until=until)

"""All partitions as this process knows them, folded from the stream: the standby for those that others own."""

from collections.abc import Callable, Sequence

import structlog
from pydantic import ValidationError

from services.room_registry.domain.partition import Partition
from shared.bus.stream import Stored
from shared.contracts.errors import StagedoorError
from shared.contracts.events import read_events
from shared.contracts.ids import InvalidIdError
from shared.contracts.subjects import partition_in

log = structlog.get_logger()

_PROGRESS_EVERY = 50_000


class CorruptStreamError(StagedoorError):
    """The stream holds what no registry wrote, or not all that one wrote. Serving from it would make it worse."""


class Replica:
    """The state of every partition, as far as it was read.

    Args:
        partitions: all of them, empty or from snapshots.
        folded: called with the number of the partition after each message.
    """

    def __init__(self, partitions: Sequence[Partition], folded: Callable[[int], None]) -> None:
        self.partitions = partitions
        self._folded = folded

    def apply(self, stored: Stored) -> None:
        """Fold one message of the stream; one that was folded already is passed over.

        Raises:
            CorruptStreamError: it cannot be folded.
        """
        try:
            number = partition_in(stored.subject)
            partition = self.partitions[number]
            # What an owner here has committed, it has folded, too.
            if stored.seq > partition.last_seq:
                partition.fold(stored.seq, read_events(stored.subject, stored.data))
        except (InvalidIdError, ValidationError, ValueError, LookupError) as error:
            raise CorruptStreamError(f"message {stored.seq} of the stream cannot be folded: {error}") from error
        self._folded(number)
        if stored.seq % _PROGRESS_EVERY == 0:
            log.info("folding", seq=stored.seq)

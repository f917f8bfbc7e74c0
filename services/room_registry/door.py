"""The door for commands that come without a partition: from operators and other services, who compute no hash.

The answer comes back this way, too. Only who was asked may answer somebody in another account of the bus, and the owner was asked by
this replica.
"""

import asyncio
from collections.abc import Callable

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from shared.bus.replies import may_answer, respond, respond_as_is
from shared.contracts.commands import RoomCommand
from shared.contracts.errors import RefusalCode
from shared.contracts.ids import InvalidIdError
from shared.contracts.replies import Refusal
from shared.contracts.subjects import DOOR_COMMANDS, command_subject, parse_subject, partition_of
from shared.tracing import carried

log = structlog.get_logger()

MAX_WAITING = 1024
"""Commands whose owners have not answered yet."""
_OWNER_SECONDS = 2.0
_VERBS = frozenset(model.verb for model in DOOR_COMMANDS.models if issubclass(model, RoomCommand))


class Door:
    """Passes commands on to the owners of their partitions, and the answers back.

    Args:
        connection: to NATS, as soon as there is one.
        partitions: how many there are; 0 as long as that is not known.
    """

    def __init__(self, connection: Callable[[], Client], partitions: Callable[[], int]) -> None:
        self._connection = connection
        self._partitions = partitions
        self._waiting: set[asyncio.Task[None]] = set()

    async def pass_on(self, message: Msg) -> None:
        """Take one command. What it comes to is told in its own time."""
        try:
            address = parse_subject(message.subject)
        except InvalidIdError as error:
            await respond(message, _bad_request(f"subject: {error}"))
            return
        if address.key is None or address.verb not in _VERBS:
            await respond(message, _bad_request(f"the door passes on {' and '.join(sorted(_VERBS))} of a room only"))
            return
        partitions = self._partitions()
        if not partitions or not may_answer(message):
            return
        subject = command_subject(partition_of(address.key, partitions), address.key, address.verb)
        if not message.reply:
            await self._connection().publish(subject, message.data, headers=_trace(message))
        elif len(self._waiting) >= MAX_WAITING:
            await respond(message, Refusal(code=RefusalCode.OVERLOADED, message="too many commands wait for their owners", retry=True))
        else:
            task = asyncio.create_task(self._relay(message, subject))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def close(self) -> None:
        """Wait for the answers that are on their way."""
        await asyncio.gather(*self._waiting)

    async def _relay(self, message: Msg, subject: str) -> None:
        try:
            answer = await self._connection().request(subject, message.data, timeout=_OWNER_SECONDS, headers=_trace(message))
        except nats.errors.NoRespondersError:
            refusal = Refusal(code=RefusalCode.NOT_OWNER, message="nobody serves the partition at the moment", retry=True)
            await respond(message, refusal)
        except (nats.errors.Error, TimeoutError) as error:
            # Whether it was carried out is open: its sender finds out with the same id.
            log.warning("owner_silent", subject=subject, reason=str(error) or type(error).__name__)
        else:
            await respond_as_is(message, answer.data)


def _trace(message: Msg) -> dict[str, str] | None:
    return dict(carried(message.headers)) or None


def _bad_request(text: str) -> Refusal:
    return Refusal(code=RefusalCode.BAD_REQUEST, message=text)

"""Asking the registry what a command was answered, while it remembers that."""

import asyncio

import nats.errors
from nats.aio.client import Client
from pydantic import ValidationError

from shared.contracts.errors import UnavailableError
from shared.contracts.replies import AnswerQuery, AnswerReply
from shared.contracts.subjects import ANSWERS

_ATTEMPT_SECONDS = 1.0
"""A replica that is frozen still gets its share of the questions; the next one goes to another, most likely."""
_AGAIN_SECONDS = 0.1


class Answers:
    """Answers over one connection. Any replica of the registry has them."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection

    async def ask(self, app: int, command: str, seconds: float) -> AnswerReply:
        """Ask until there is a reply, or for so long.

        Raises:
            UnavailableError: no reply in time.
        """
        query = AnswerQuery(app=app, command=command).to_bytes()
        problem = ""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        message = await self._connection.request(ANSWERS.pattern, query, timeout=_ATTEMPT_SECONDS)
                        return AnswerReply.model_validate_json(message.data)
                    except ValidationError as error:
                        raise UnavailableError("the registry's answer is not of this version") from error
                    except (nats.errors.Error, TimeoutError) as error:
                        problem = str(error) or type(error).__name__
                    await asyncio.sleep(_AGAIN_SECONDS)
        except TimeoutError as error:
            raise UnavailableError(f"no answer from the registry in time ({problem})") from error

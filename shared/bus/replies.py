"""Answering a request, where an answer may go.

A reply subject is the sender's word. One that is no inbox would have a service publish, with its own rights, on a subject
that is not the sender's to write on: the event stream, say.
"""

import nats.errors
import structlog
from nats.aio.msg import Msg

from shared.contracts.messages import Message
from shared.contracts.subjects import REPLY_PREFIX, SERVER_REPLY_PREFIX

log = structlog.get_logger()

_INBOXES = (f"{REPLY_PREFIX}.", f"{SERVER_REPLY_PREFIX}.")


def may_answer(request: Msg) -> bool:
    """Say whether the request names no reply subject, or one that is an inbox; another one is written to the log."""
    if not request.reply or request.reply.startswith(_INBOXES):
        return True
    log.warning("reply_refused", subject=request.subject, reply=request.reply[:200])
    return False


async def respond(request: Msg, reply: Message) -> None:
    """Answer, if an answer is wanted and the bus is there; if not, the sender asks again with the same id."""
    await respond_as_is(request, reply.to_bytes())


async def respond_as_is(request: Msg, reply: bytes) -> None:
    """Answer like :func:`respond`, with what somebody else has answered."""
    if not request.reply or not may_answer(request):
        return
    try:
        await request.respond(reply)
    except (nats.errors.Error, TimeoutError) as error:
        log.warning("reply_lost", subject=request.subject, reason=str(error) or type(error).__name__)

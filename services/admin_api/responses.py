"""Answers, as the vendor's clients read them.

``RequestId`` is in every one: a client of the vendor's breaks on an error without it. Clients ignore fields they do
not know, so the answers say more than the vendor's.
"""

import json
from collections.abc import Mapping
from typing import Final

from services.admin_api.errors import ApiError
from services.admin_api.use_cases import Outcome
from shared.clients.outcomes import SessionOutcome, counts_of, outcomes_of
from shared.contracts.replies import DismissReply, RemoveReply

CONTENT_TYPE: Final = "application/json"
"""To the letter: with a charset behind it, the vendor's Python client takes every error for a success."""

MAX_LISTED: Final = 1000
"""Sessions of a dismissal that an answer names; the counts are of all."""


def done(outcome: Outcome) -> dict[str, object]:
    """Tell what became of each session, who was not there, and of a dismissal how many are in which state."""
    reply = outcome.reply
    content: dict[str, object] = {"CommandId": outcome.command}
    if isinstance(reply, DismissReply):
        confirmed, fenced, pending = counts_of(reply, outcome.receipts, outcome.lost)
        content |= {"Sessions": reply.sessions, "Confirmed": confirmed, "Fenced": fenced, "Pending": pending}
    sessions = outcomes_of(reply, outcome.receipts, outcome.lost)
    content["Removed"] = [_session(each) for each in sessions[:MAX_LISTED]]
    if isinstance(reply, RemoveReply):
        content["NotFound"] = list(reply.not_found)
    return content


def described(outcome: Outcome) -> dict[str, object]:
    """Tell the same later, and whether it is all, or only what gateways have reported."""
    return done(outcome) | {"Complete": outcome.reply is not None}


def _session(outcome: SessionOutcome) -> dict[str, object]:
    return {
        "UserId": outcome.user,
        "SessionId": outcome.session,
        "Gateway": outcome.gateway,
        "Seq": outcome.seq,
        "MediaStoppedAt": outcome.media_stopped_at,
        "ToldAt": outcome.told_at,
        "State": outcome.state,
    }


def failed(error: ApiError) -> dict[str, object]:
    """Tell what was wrong."""
    return {"Error": {"Code": error.code, "Message": error.message}}


def encode(content: Mapping[str, object], request_id: str) -> bytes:
    """Write a response's body."""
    return json.dumps({"Response": {**content, "RequestId": request_id}}, separators=(",", ":")).encode()

"""Answers, as the vendor's clients read them.

``RequestId`` is in every one: a client of the vendor's breaks on an error without it. Clients ignore fields they do
not know, so the answers say more than the vendor's.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from services.admin_api.errors import ApiError
from services.admin_api.use_cases import Outcome
from shared.clients.gathering import Reported
from shared.contracts.receipts import ReceiptState, SessionReceipt
from shared.contracts.replies import DismissReply

CONTENT_TYPE: Final = "application/json"
"""To the letter: with a charset behind it, the vendor's Python client takes every error for a success."""


MAX_LISTED: Final = 1000
"""Sessions of a dismissal that an answer names; the counts are of all."""


def done(outcome: Outcome) -> dict[str, object]:
    """Tell what became of each session, who was not there, and how many are confirmed, fenced and pending."""
    reply, reported = outcome.reply, outcome.receipts.sessions
    if isinstance(reply, DismissReply):
        sessions = [_session(each.receipt.user, session, each.gateway, reply.seq, each.receipt) for session, each in reported.items()]
        return {
            "CommandId": outcome.command,
            "Sessions": reply.sessions,
            **_counts(reply.sessions, list(reported.values())),
            "Removed": sessions[:MAX_LISTED],
        }
    receipts = {session: each.receipt for session, each in reported.items()}
    removed = [_session(each.user, each.session, each.gateway, each.seq, receipts.get(each.session)) for each in reply.removed]
    return {"CommandId": outcome.command, "Removed": removed, "NotFound": list(reply.not_found)}


def _session(user: str, session: str, gateway: str, seq: int, receipt: SessionReceipt | None) -> dict[str, object]:
    return {
        "UserId": user,
        "SessionId": session,
        "Gateway": gateway,
        "Seq": seq,
        "MediaStoppedAt": None if receipt is None else receipt.media_stopped_at,
        "ToldAt": None if receipt is None else receipt.told_at,
        "State": ReceiptState.PENDING if receipt is None else receipt.state,
    }


def _counts(sessions: int, reported: Sequence[Reported]) -> dict[str, object]:
    confirmed = sum(each.receipt.state is ReceiptState.CONFIRMED for each in reported)
    return {"Confirmed": confirmed, "Fenced": len(reported) - confirmed, "Pending": max(0, sessions - len(reported))}


def failed(error: ApiError) -> dict[str, object]:
    """Tell what was wrong."""
    return {"Error": {"Code": error.code, "Message": error.message}}


def encode(content: Mapping[str, object], request_id: str) -> bytes:
    """Write a response's body."""
    return json.dumps({"Response": {**content, "RequestId": request_id}}, separators=(",", ":")).encode()

"""Answers, as the vendor's clients read them.

``RequestId`` is in every one: a client of the vendor's breaks on an error without it. Clients ignore fields they do
not know, so the answers say more than the vendor's.
"""

import json
from collections.abc import Mapping
from typing import Final

from services.admin_api.errors import ApiError
from shared.contracts.replies import DismissReply, RemoveReply

CONTENT_TYPE: Final = "application/json"
"""To the letter: with a charset behind it, the vendor's Python client takes every error for a success."""


def done(reply: RemoveReply | DismissReply) -> dict[str, object]:
    """Tell who was removed, session by session, and who was not there; or how many sessions a dismissal ended."""
    if isinstance(reply, DismissReply):
        return {"Sessions": reply.sessions}
    sessions = [{"UserId": each.user, "SessionId": each.session, "Gateway": each.gateway, "Seq": each.seq} for each in reply.removed]
    return {"Removed": sessions, "NotFound": list(reply.not_found)}


def failed(error: ApiError) -> dict[str, object]:
    """Tell what was wrong."""
    return {"Error": {"Code": error.code, "Message": error.message}}


def encode(content: Mapping[str, object], request_id: str) -> bytes:
    """Write a response's body."""
    return json.dumps({"Response": {**content, "RequestId": request_id}}, separators=(",", ":")).encode()

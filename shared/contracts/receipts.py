"""Receipts: what a gateway has done about an ending that a command caused.

A receipt only grows: media stopped, and later told. What it comes to is derived, not stored.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from shared.contracts.ids import CommandId, GatewayId, Milliseconds, SdkAppId, SessionId, UserId
from shared.contracts.messages import Message

MAX_SESSIONS_PER_RECEIPT = 500


class ReceiptState(StrEnum):
    """What is certain of one session's ending."""

    CONFIRMED = "confirmed"
    """Its media has stopped at every gateway that held it, and its browser was told."""
    FENCED = "fenced"
    """Its media has stopped at every gateway that held it; its browser was not heard."""
    PENDING = "pending"
    """Its media may still flow somewhere."""


class SessionReceipt(Message):
    """What was done about one session."""

    session: SessionId
    user: UserId
    media_stopped_at: Milliseconds | None = None
    """After the last packet to or from it had left this gateway; None where it was never here."""
    told_at: Milliseconds | None = None
    """When its browser acknowledged the notice, or was refused a resume with that reason."""


class Receipt(Message):
    """What one gateway reports of one command."""

    app: SdkAppId
    command: CommandId
    gateway: GatewayId
    sessions: Annotated[tuple[SessionReceipt, ...], Field(min_length=1, max_length=MAX_SESSIONS_PER_RECEIPT)]

"""Why a session ended, and what each outside interface calls it.

TRTC's own words cross with everybody's: in its SDKs ``kick`` means *replaced by the same userId* and ``banned`` means
*removed by the administrator*. Ours are used everywhere inside; this table is the only place that knows the others.
"""

from enum import StrEnum
from typing import Final, NamedTuple


class LeaveReason(StrEnum):
    """How a session ended."""

    LEFT = "left"
    """By itself."""
    REPLACED = "replaced"
    """The same userId came in as anchor."""
    REMOVED = "removed"
    """By RemoveUser, or by a command on the bus."""
    DISMISSED = "dismissed"
    """The room was dissolved."""
    TIMED_OUT = "timed_out"
    """The browser or its gateway was lost."""


class ClientBanned(NamedTuple):
    """What the browser's application hears of a session that was made to end."""

    v4_reason: str
    """``reason`` of the v4 SDK's ``client-banned``."""
    v5_reason: str
    """``reason`` of the v5 SDK's ``kicked-out``."""
    message: str


CLIENT_BANNED: Final[dict[LeaveReason, ClientBanned]] = {
    LeaveReason.REPLACED: ClientBanned("kick", "kick", "client was banned because of duplicated userId joining the room."),
    LeaveReason.REMOVED: ClientBanned("banned", "banned", "client was banned because of you got banned by account admin"),
    LeaveReason.DISMISSED: ClientBanned(
        "room-disband", "room_disband", "client was banned because of the room has been disbanded by the admin."
    ),
}
"""The reasons that reach the application as ``client-banned``; the others end a session without it."""

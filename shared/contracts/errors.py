"""Errors, sorted by who must hear them.

StagedoorError
├── RefusedError          the sender of a command: it was decided, and the answer is no
│   └── SessionEndedError     because the session has ended; says how
├── UnavailableError      the sender of a command: nobody could decide it in time; the same id may be sent again
├── FencedError           a registry: somebody else writes this partition now
├── UnknownOutcomeError   a registry: a commit was sent and nothing came back; only the stream knows
└── ConfigurationError    the operator, before anything starts
"""

from enum import StrEnum


class RefusalCode(StrEnum):
    """Why the registry refuses a command."""

    BAD_REQUEST = "bad_request"
    """Not a command: malformed, unknown, or at odds with its subject."""
    EXPIRED = "expired"
    WRONG_PARTITION = "wrong_partition"
    """The subject names another partition than the room's."""
    NOT_OWNER = "not_owner"
    OVERLOADED = "overloaded"
    """A queue or a memory that may not forget is full."""
    COMMAND_REUSED = "command_reused"
    """The same command id with another content."""
    ROOM_NOT_EXIST = "room_not_exist"
    ROOM_FULL = "room_full"
    TOO_LARGE = "too_large"
    """What it would cause does not fit into a message."""
    TOO_MANY_SESSIONS = "too_many_sessions"
    """Of one userId in one room."""
    ANCHOR_TAKEN = "anchor_taken"
    """Another session holds the userId's anchor slot, and the join yields."""
    ROOM_ELSEWHERE = "room_elsewhere"
    """The room's sessions are on other gateways than the one that the join came to, and rooms do not span gateways."""
    SESSION_ENDED = "session_ended"
    SESSION_UNKNOWN = "session_unknown"
    """There is no such session, or not any more, or the token is not its."""
    SUPERSEDED = "superseded"
    """The session was attached anew since."""
    GATEWAY_LOST = "gateway_lost"
    """The gateway was declared lost: this boot of it takes no sessions any more."""


class StagedoorError(Exception):
    """The root of what this project raises."""


class RefusedError(StagedoorError):
    """The registry decided the command, and the answer is no."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class SessionEndedError(RefusedError):
    """The session that the command is about has ended.

    Args:
        message: for people.
        reason: how it ended: a value of :class:`shared.contracts.reasons.LeaveReason`.
        command: the id of the command that ended it.
        correlation: that command's.
        user: whose session it was; None where it never came in.
    """

    def __init__(self, message: str, reason: str, command: str, correlation: str, user: str | None = None) -> None:
        super().__init__(RefusalCode.SESSION_ENDED, message)
        self.reason = reason
        self.command = command
        self.correlation = correlation
        self.user = user


class UnavailableError(StagedoorError):
    """Nobody could decide the command in time. Whether it was carried out is open; send the same id again."""


class FencedError(StagedoorError):
    """Another writer has written to the partition: the fence refused this one."""


class UnknownOutcomeError(StagedoorError):
    """A commit was sent and nothing came back."""


class ConfigurationError(StagedoorError):
    """The settings cannot work; the text says which one, and how to mend it."""

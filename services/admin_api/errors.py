"""What can go wrong, and the vendor's code for it: the only table that knows both.

Clients decide by the code; the message is for people. A request is answered with HTTP 200 whatever its code, because
the vendor's clients lose the code of any other status.
"""

from enum import StrEnum
from typing import Final

from shared.auth.tc3 import Tc3Error
from shared.contracts.errors import RefusalCode, RefusedError, StagedoorError, UnavailableError


class Code(StrEnum):
    """The codes that do not come from the check of the signature; a parameter's name may follow after a full stop."""

    COMMAND_NOT_FOUND = "ResourceNotFound.CommandId"
    ROOM_NOT_EXIST = "FailedOperation.RoomNotExist"
    INTERNAL_ERROR = "InternalError"
    INVALID_ACTION = "InvalidAction"
    INVALID_PARAMETER = "InvalidParameter"
    INVALID_REQUEST = "InvalidRequest"
    MISSING_PARAMETER = "MissingParameter"
    NO_SUCH_VERSION = "NoSuchVersion"
    REQUEST_LIMIT_EXCEEDED = "RequestLimitExceeded"
    REQUEST_SIZE_LIMIT_EXCEEDED = "RequestSizeLimitExceeded"
    UNAUTHORIZED_APP = "UnauthorizedOperation.SdkAppId"
    UNKNOWN_PARAMETER = "UnknownParameter"
    UNSUPPORTED_PROTOCOL = "UnsupportedProtocol"


class ApiError(StagedoorError):
    """An answer that is an error."""

    def __init__(self, code: Code | str, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.code = str(code) if parameter is None else f"{code}.{parameter}"
        self.message = message


_AGAIN = "The request may be sent again: what is done already is not done twice."

REFUSALS: Final[dict[RefusalCode, tuple[Code, str]]] = {
    RefusalCode.ROOM_NOT_EXIST: (Code.ROOM_NOT_EXIST, "The room does not exist."),
    RefusalCode.BAD_REQUEST: (Code.INTERNAL_ERROR, "The registry does not understand the command: are the services of one version?"),
    RefusalCode.WRONG_PARTITION: (Code.INTERNAL_ERROR, "The command reached another partition: was their number changed?"),
    RefusalCode.COMMAND_REUSED: (Code.INVALID_PARAMETER, "This signature, or this Idempotency-Key, was used for another request."),
    RefusalCode.TOO_LARGE: (Code.INTERNAL_ERROR, "What the command would cause is too large for one message."),
    RefusalCode.EXPIRED: (Code.INTERNAL_ERROR, f"The command came too late and was not carried out. {_AGAIN}"),
    RefusalCode.NOT_OWNER: (Code.INTERNAL_ERROR, f"The room is changing hands, the command was not carried out. {_AGAIN}"),
    RefusalCode.OVERLOADED: (Code.INTERNAL_ERROR, f"The registry is overloaded, the command was not carried out. {_AGAIN}"),
}
"""The refusals that an administrator's command can meet."""
_UNEXPECTED = (Code.INTERNAL_ERROR, "The registry refused the command for a reason that is none for it.")


def translate(error: StagedoorError) -> ApiError:
    """Return the answer to an error of ours."""
    match error:
        case ApiError():
            return error
        case Tc3Error():
            return ApiError(error.code, error.message)
        case RefusedError():
            return ApiError(*REFUSALS.get(error.code, _UNEXPECTED))
        case UnavailableError():
            return ApiError(Code.INTERNAL_ERROR, f"No answer from the room registry; whether the command was carried out is open. {_AGAIN}")
        case _:
            return unexpected()


def unexpected() -> ApiError:
    """Return the answer to an error that nobody foresaw; the log has it."""
    return ApiError(Code.INTERNAL_ERROR, "Internal error. The server's log has it under this RequestId.")

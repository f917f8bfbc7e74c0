import json

import pytest

from services.admin_api import responses
from services.admin_api.errors import REFUSALS, ApiError, Code, translate, unexpected
from shared.auth.tc3 import Tc3Error
from shared.contracts.errors import FencedError, RefusalCode, RefusedError, UnavailableError
from shared.contracts.replies import DismissReply, RemovedSession, RemoveReply

SESSION = "0123456789abcdef" * 2
OF_SESSIONS_ONLY = {RefusalCode.ROOM_FULL, RefusalCode.TOO_MANY_SESSIONS, RefusalCode.SESSION_ENDED, RefusalCode.UNKNOWN_GATEWAY}


def test_a_removal_names_each_session_and_who_was_not_there():
    reply = RemoveReply(removed=(RemovedSession(user="u1", session=SESSION, gateway="gw_0123456789abcdef", seq=7),), not_found=("x",))
    assert responses.done(reply) == {
        "Removed": [{"UserId": "u1", "SessionId": SESSION, "Gateway": "gw_0123456789abcdef", "Seq": 7}],
        "NotFound": ["x"],
    }


def test_a_dismissal_says_how_many_it_ended():
    assert responses.done(DismissReply(incarnation="1.1", seq=9, sessions=3)) == {"Sessions": 3}


def test_every_answer_has_the_request_id():
    assert json.loads(responses.encode({}, "id")) == {"Response": {"RequestId": "id"}}
    error = responses.failed(ApiError(Code.MISSING_PARAMETER, "text", "RoomId"))
    assert json.loads(responses.encode(error, "id")) == {
        "Response": {"Error": {"Code": "MissingParameter.RoomId", "Message": "text"}, "RequestId": "id"}
    }


def test_an_answer_is_ascii_whatever_is_in_it():
    assert responses.encode({"NotFound": ["用户2 😀", "\ud800"]}, "id").isascii()


def test_every_refusal_has_its_code_but_those_of_sessions():
    assert set(REFUSALS) == set(RefusalCode) - OF_SESSIONS_ONLY


@pytest.mark.parametrize("refusal", list(RefusalCode))
def test_a_refusal_is_an_internal_error_unless_the_room_does_not_exist(refusal):
    expected = "FailedOperation.RoomNotExist" if refusal is RefusalCode.ROOM_NOT_EXIST else "InternalError"
    assert translate(RefusedError(refusal, "text")).code == expected


def test_no_answer_says_that_the_outcome_is_open_and_a_repetition_safe():
    error = translate(UnavailableError("no responders"))
    assert error.code == "InternalError"
    assert "is open" in error.message
    assert "may be sent again" in error.message


def test_the_signatures_check_has_codes_of_its_own():
    assert translate(Tc3Error("AuthFailure.SignatureFailure", "text")).code == "AuthFailure.SignatureFailure"


def test_what_nobody_foresaw_tells_nothing_of_the_inside():
    assert translate(FencedError("inside")).message == unexpected().message
    assert "inside" not in unexpected().message

import json

import pytest

from services.admin_api import responses
from services.admin_api.errors import REFUSALS, ApiError, Code, translate, unexpected
from services.admin_api.use_cases import Outcome
from shared.auth.tc3 import Tc3Error
from shared.clients.gathering import Gathering
from shared.contracts.errors import FencedError, RefusalCode, RefusedError, UnavailableError
from shared.contracts.receipts import Receipt, SessionReceipt
from shared.contracts.replies import DismissReply, RemovedSession, RemoveReply

SESSION = "0123456789abcdef" * 2
OF_SESSIONS_ONLY = {
    RefusalCode.ROOM_FULL,
    RefusalCode.TOO_MANY_SESSIONS,
    RefusalCode.ANCHOR_TAKEN,
    RefusalCode.ROOM_ELSEWHERE,
    RefusalCode.SESSION_ENDED,
    RefusalCode.SESSION_UNKNOWN,
    RefusalCode.SUPERSEDED,
    RefusalCode.GATEWAY_LOST,
}


GATEWAY = "gw_0123456789abcdef"


def outcome(reply, **told):
    gathering = Gathering()
    for session, at in told.items():
        sessions = (SessionReceipt(session=session.removeprefix("s"), user="u1", media_stopped_at=3, told_at=at),)
        gathering.add(Receipt(app=1, command="c1", gateway=GATEWAY, sessions=sessions))
    return Outcome("c1", reply, gathering)


@pytest.mark.parametrize(
    ("told", "stopped", "told_at", "state"),
    [({f"s{SESSION}": 5}, 3, 5, "confirmed"), ({f"s{SESSION}": None}, 3, None, "fenced"), ({}, None, None, "pending")],
)
def test_a_removal_names_each_session_what_became_of_it_and_who_was_not_there(told, stopped, told_at, state):
    """The state is derived from what was reported."""
    reply = RemoveReply(removed=(RemovedSession(user="u1", session=SESSION, gateway=GATEWAY, seq=7),), not_found=("x",))
    session = {"UserId": "u1", "SessionId": SESSION, "Gateway": GATEWAY, "Seq": 7}
    assert responses.done(outcome(reply, **told)) == {
        "CommandId": "c1",
        "Removed": [session | {"MediaStoppedAt": stopped, "ToldAt": told_at, "State": state}],
        "NotFound": ["x"],
    }


def test_a_session_on_a_gateway_that_was_lost_is_fenced():
    """Nothing leaves it any more; nobody has measured since when."""
    reply = RemoveReply(removed=(RemovedSession(user="u1", session=SESSION, gateway=GATEWAY, seq=7),), not_found=())
    (session,) = responses.done(outcome(reply)._replace(lost=frozenset({GATEWAY})))["Removed"]
    assert (session["State"], session["MediaStoppedAt"], session["ToldAt"]) == ("fenced", None, None)


def test_a_dismissal_says_how_many_it_ended_and_what_became_of_them():
    """Counts are of all, also of those who have not been heard of."""
    other = SESSION[::-1]
    reply = DismissReply(incarnation="1.1", seq=9, sessions=3, attachments={GATEWAY: 3})
    answer = responses.done(outcome(reply, **{f"s{SESSION}": 5, f"s{other}": None}))
    assert {name: answer[name] for name in ("Sessions", "Confirmed", "Fenced", "Pending")} == {
        "Sessions": 3,
        "Confirmed": 1,
        "Fenced": 1,
        "Pending": 1,
    }
    assert [(each["SessionId"], each["Seq"]) for each in answer["Removed"]] == [(SESSION, 9), (other, 9)]


def test_a_dismissal_names_so_many_and_counts_all():
    """An answer has a bound; the numbers in it do not."""
    many = responses.MAX_LISTED + 1
    reply = DismissReply(incarnation="1.1", seq=9, sessions=many, attachments={GATEWAY: many})
    answer = responses.done(outcome(reply, **{f"s{number:032x}": 5 for number in range(many)}))
    assert (answer["Confirmed"], len(answer["Removed"])) == (many, responses.MAX_LISTED)


def test_a_description_says_whether_it_is_all():
    """While the answer is remembered it is; after that there is what gateways have reported."""
    reply = RemoveReply(removed=(), not_found=("x",))
    assert responses.described(outcome(reply)) == {"CommandId": "c1", "Removed": [], "NotFound": ["x"], "Complete": True}
    later = responses.described(outcome(None, **{f"s{SESSION}": 5}))
    reported = {"UserId": "u1", "SessionId": SESSION, "Gateway": GATEWAY, "Seq": None}
    assert later == {
        "CommandId": "c1",
        "Removed": [reported | {"MediaStoppedAt": 3, "ToldAt": 5, "State": "confirmed"}],
        "Complete": False,
    }


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
def test_a_refusal_is_an_internal_error_unless_it_is_the_callers_to_mend(refusal):
    """Or the id stands for another command: then it is the caller's to mend."""
    of_the_caller = {RefusalCode.ROOM_NOT_EXIST: "FailedOperation.RoomNotExist", RefusalCode.COMMAND_REUSED: "InvalidParameter"}
    assert translate(RefusedError(refusal, "text")).code == of_the_caller.get(refusal, "InternalError")


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

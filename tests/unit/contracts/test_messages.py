"""Messages as bytes."""

import typing

import pytest

from shared.contracts import commands, facts, leases, receipts, replies, snapshots
from shared.contracts.messages import Message
from shared.contracts.replies import AnswerReply

KINDS = {
    kind
    for module in (commands, facts, leases, receipts, replies, snapshots)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message)
}


@pytest.mark.parametrize("model", sorted(KINDS, key=lambda kind: kind.__name__))
def test_what_may_be_none_may_be_left_out(model):
    """Bytes have no field that is None: a reader that asks for it would refuse what was sent."""
    for name, field in model.model_fields.items():
        if type(None) in typing.get_args(field.annotation):
            assert not field.is_required(), name


def test_a_message_is_read_as_it_was_written():
    """Also where it says that there is nothing."""
    nothing = AnswerReply(answer=None)
    assert AnswerReply.model_validate_json(nothing.to_bytes()) == nothing

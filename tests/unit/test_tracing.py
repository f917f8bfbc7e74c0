"""What of a message's headers carries a trace on. Whoever sent it may have written anything."""

import json

import pytest

from shared.tracing import NO_CONTEXT, carried, context_of, headers_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_of_what_is_committed_together_each_command_has_its_own_trace():
    """One has the usual header; several share one of ours."""
    assert headers_of({"c1": {"traceparent": TRACE}}) == {"traceparent": TRACE}
    headers = headers_of({"c1": {"traceparent": TRACE}, "c2": NO_CONTEXT})
    assert [context_of(headers, command) for command in ("c1", "c2", "c3")] == [{"traceparent": TRACE}, NO_CONTEXT, NO_CONTEXT]


@pytest.mark.parametrize("text", ["", "x", "[]", "7", '{"c1": 7}', "[" * 100_000, json.dumps({"c1": "x" * 65})])
def test_what_is_no_trace_is_none(text):
    """The message counts all the same."""
    assert context_of({"Stagedoor-Traces": text}, "c1") == NO_CONTEXT
    assert carried({"traceparent": "x" * 65, "other": "y"}) == NO_CONTEXT

"""Counting the interpreter's steps: how much work something is, on any machine and however busy it is."""

import contextlib
import sys


class Steps:
    """A count that grows while the block runs."""

    def __init__(self):
        self.count = 0


@contextlib.contextmanager
def counted():
    """Count the steps of the block, those of everything that it calls included."""
    steps = Steps()

    def trace(frame, event, _argument):
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        steps.count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield steps
    finally:
        sys.settrace(before)

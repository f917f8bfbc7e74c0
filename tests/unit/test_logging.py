"""The log is what docs/logging.md says, line by line; and who somebody is stands in fields that can be hidden."""

import ast
import json
import re
from pathlib import Path

import pytest
import structlog

from shared.logging import PERSONAL, Privacy
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception"}
MANUAL = (ROOT / "docs/logging.md").read_text()
BUILT = {"admin_request", "command", "gateway_lost"}
"""Lines some of whose fields are put together on the way."""


def written():
    """Return the lines that the code writes: event and level to fields."""
    lines = {}
    for path in (path for part in ("shared", "services") for path in (ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            logger = node.func.value
            if getattr(logger, "id", getattr(logger, "attr", None)) in ("log", "_log"):
                level = "error" if node.func.attr == "exception" else node.func.attr
                fields = {keyword.arg for keyword in node.keywords if keyword.arg}
                fields |= {"exception"} if node.func.attr == "exception" else set()
                lines.setdefault((node.args[0].value, level), set()).update(fields)
    return lines


def documented():
    """Return the lines that the manual has, in the same form."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| [^|]+ \| ([^|]*) \| [^|]+ \|$", MANUAL, re.MULTILINE)
    return {(event, level): set(re.findall(r"`(\w+)`", fields)) for event, level, fields in rows}


def fields():
    """Return the fields that the manual has, and whether each is personal."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|([^|]*)\|$", MANUAL, re.MULTILINE)
    return {name: mark.strip() == "personal" for names, _, mark in rows for name in re.findall(r"`(\w+)`", names)}


def test_every_line_is_documented():
    """With its level and its fields, and no line that is not written any more."""
    code, manual = written(), documented()
    assert set(code) == set(manual)
    for line in code:
        assert code[line] <= manual[line] if line[0] in BUILT else code[line] == manual[line], line


def test_every_field_is_documented():
    """Each once, and personal data is marked as the code marks it."""
    used = {field for line in documented().values() for field in line}
    assert used <= set(fields())
    assert {name for name, personal in fields().items() if personal} == PERSONAL


def logged(privacy, **line):
    with structlog.testing.capture_logs(processors=[privacy.apply]) as captured:
        structlog.get_logger().info("something", **line)
    return captured[0]


def test_hashes_are_the_same_for_the_same_person():
    """In every process that has the key, and in no other; a room's number and the same digits as a string are two."""
    one, same, other = (Privacy("hash", key) for key in (b"key", b"key", b"another"))
    assert logged(one, user="ann")["user"] == logged(same, user="ann")["user"] != logged(other, user="ann")["user"]
    assert logged(one, user="ann")["user"] == logged(one, users=("ann", "bob"))["users"][0]
    assert logged(one, room=1)["room"] != logged(one, room="1")["room"]
    assert logged(one, session="s")["session"] == "s"


def test_dropped_fields_are_gone():
    """And nothing else is."""
    line = logged(Privacy("drop"), user="ann", room=1, subject="x", session="s")
    assert "session" in line
    assert not PERSONAL & line.keys()


@pytest.mark.parametrize(("given", "equal"), [("a secret", True), (None, False)])
def test_a_key_is_shared_where_it_is_set(given, equal):
    """Without one each start has its own."""
    settings = Settings(port=0, log_personal="hash", log_hash_key=given)
    lines = [json.dumps(logged(Privacy.of(settings), user="ann")) for _ in range(2)]
    assert (lines[0] == lines[1]) is equal

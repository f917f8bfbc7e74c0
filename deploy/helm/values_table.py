"""Write the table of values into the chart's README, from the comments in values.yaml.

A value's description is the comment above it that begins with ``--``: ``python deploy/helm/values_table.py`` writes, with ``--check`` it
compares, and ends with 1 where the README is behind.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).parent / "stagedoor"
_BEGIN, _END = "<!-- values -->\n", "<!-- /values -->\n"
_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z0-9_.-]+):")


class Described(NamedTuple):
    """One value that has a description."""

    path: str
    default: Any
    text: str


def described(source: str) -> Iterator[Described]:
    """Yield what has a description, in the order of the file."""
    values = yaml.safe_load(source)
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in source.splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            comment = [text.removeprefix("# -- ")]
        elif text.startswith("#") and comment:
            comment.append(text.removeprefix("#").strip())
        elif match := _KEY.match(line):
            indent = len(match["indent"])
            parents = [parent for parent in parents if parent[0] < indent]
            parents.append((indent, match["name"]))
            names = [name for _, name in parents]
            if comment:
                yield Described(".".join(names), _at(values, names), " ".join(comment))
            comment = []
        else:
            comment = []


def _at(values: Any, names: list[str]) -> Any:
    for name in names:
        values = values[name]
    return values


def table(source: str) -> str:
    """Return the table in Markdown."""
    rows = [f"| `{value.path}` | `{json.dumps(value.default)}` | {value.text} |" for value in described(source)]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows]) + "\n"


def main(*, check: bool) -> int:
    """Bring the README up to date, or say whether it is. Returns the exit code."""
    readme = CHART / "README.md"
    old = readme.read_text()
    head, _, rest = old.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    new = f"{head}{_BEGIN}{table((CHART / 'values.yaml').read_text())}{_END}{tail}"
    if check and new != old:
        sys.stderr.write("the table of values in deploy/helm/stagedoor/README.md is behind values.yaml: make docs\n")
        return 1
    if not check:
        readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))

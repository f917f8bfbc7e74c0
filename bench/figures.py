"""Figures and how they are printed."""

import statistics
from collections.abc import Sequence

p50 = statistics.median


def p99(values: Sequence[float]) -> float:
    """Return the value that one in a hundred exceeds."""
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{seconds * 1000:.2f} ms" if seconds < 1 else f"{seconds * 1000:,.0f} ms"


def table(head: Sequence[str], *rows: Sequence[str]) -> None:
    """Print a table; the first column stands left, figures stand right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *rest]))
    print(flush=True)

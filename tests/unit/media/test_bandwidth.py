"""When a line counts as short, and when it is tried again."""

from services.edge_gateway.media.bandwidth import Downlink, Second

GOOD, LOSSY, MEDIOCRE = Second(0.0, 500_000), Second(0.2, 500_000), Second(0.05, 500_000)


class Line:
    """A line, second by second."""

    def __init__(self) -> None:
        self.downlink = Downlink()
        self.now = 0.0

    def passes(self, second: Second, times: int = 1, estimate: int | None = None) -> list[bool]:
        """Let seconds pass; say after each whether the line is short."""
        seen = []
        for _ in range(times):
            self.now += 1.0
            if estimate is not None:
                self.downlink.estimated(estimate, self.now)
            before = self.downlink.short
            assert self.downlink.look(second, self.now) == (self.downlink.short != before)
            seen.append(self.downlink.short)
        return seen

    def until(self, second: Second, *, short: bool) -> int:
        """Let seconds pass until the line is short, or not; say how many."""
        for count in range(1, 1000):
            if self.passes(second) == [short]:
                return count
        raise AssertionError("never")


def test_two_bad_seconds_make_a_line_short():
    """One may be a burst."""
    line = Line()
    assert line.passes(LOSSY) == [False]
    assert line.passes(GOOD) == [False]
    assert line.passes(LOSSY, 2) == [False, True]


def test_an_estimate_below_what_is_sent_is_bad_too():
    """As long as it is fresh; one that is above is none."""
    line = Line()
    assert line.passes(GOOD, 3, estimate=600_000) == [False] * 3
    assert line.passes(GOOD, 2, estimate=300_000) == [False, True]
    line = Line()
    line.passes(GOOD, estimate=300_000)
    line.passes(GOOD, 6, estimate=600_000)
    line.now += 60
    assert line.passes(GOOD, 3) == [False] * 3


def test_after_good_seconds_it_is_tried_again():
    """Seconds that are neither begin the wait anew."""
    line = Line()
    line.passes(LOSSY, 2)
    assert not any(not short for short in line.passes(GOOD, 7))
    line.passes(MEDIOCRE)
    assert line.until(GOOD, short=False) == 9


def test_trials_that_fail_become_rare_and_one_that_succeeds_forgives():
    """Up to two minutes; a line that carries big pictures as long as it waited for them begins with the shortest wait."""
    line, waits = Line(), []
    for _ in range(7):
        line.until(LOSSY, short=True)
        waits.append(line.until(GOOD, short=False))
    assert waits == [9, 17, 33, 65, 129, 129, 129]
    line.passes(GOOD, 130)
    line.until(LOSSY, short=True)
    assert line.until(GOOD, short=False) == 9


def test_silence_is_no_loss():
    """Who receives only sound says little, and who receives nothing nothing."""
    line = Line()
    assert line.passes(Second(None, 0), 10) == [False] * 10

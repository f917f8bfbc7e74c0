"""Decides whether a subscriber's line is short: then it gets small pictures. Pure.

There is no measuring of what more would fit, so going back is a trial. Each one that fails makes the next wait longer.
"""

from dataclasses import dataclass

_LOSSY = 0.10
"""Of the packets: repairs and key frames would take what is left of the line."""
_CLEAN = 0.02
_TIGHT = 0.9
"""An estimate that is lower than so much of what is sent says that it does not fit."""
_CONFIRMED = 2
"""Bad seconds in a row: one may be a burst."""
_PATIENCE = 8.0
"""Good seconds until big pictures are tried again."""
_MAX_PATIENCE = 128.0
_ESTIMATE_AGE = 5.0
"""Seconds that an estimate counts: browsers repeat it each second."""


@dataclass(frozen=True, slots=True)
class Second:
    """What was seen of a line in one second."""

    loss: float | None
    """The largest part of any stream that was lost, 0 to 1; None, nothing was reported."""
    sent: int
    """Bits."""


class Downlink:
    """The line to one subscriber. It is looked at each second."""

    def __init__(self) -> None:
        self.short = False
        self._estimate: tuple[int, float] | None = None
        self._bad = 0
        self._good_since: float | None = None
        self._patience = _PATIENCE
        self._trial_since: float | None = None

    def estimated(self, bits_per_second: int, now: float) -> None:
        """Take the subscriber's own estimate."""
        self._estimate = (bits_per_second, now)

    def look(self, second: Second, now: float) -> bool:
        """Judge the last second.

        Returns:
            Whether :attr:`short` has changed.
        """
        tight = self._is_tight(second.sent, now)
        bad = tight or (second.loss is not None and second.loss >= _LOSSY)
        good = not tight and (second.loss is None or second.loss <= _CLEAN)
        self._bad = self._bad + 1 if bad else 0
        if not good:
            self._good_since = None
        elif self._good_since is None:
            self._good_since = now
        return self._end_trial(now) if not self.short else self._begin_trial(now)

    def _is_tight(self, sent: int, now: float) -> bool:
        if self._estimate is None:
            return False
        bits_per_second, at = self._estimate
        return now - at <= _ESTIMATE_AGE and bits_per_second < sent * _TIGHT

    def _end_trial(self, now: float) -> bool:
        if self._bad < _CONFIRMED:
            if self._trial_since is not None and now - self._trial_since >= self._patience:
                self._trial_since, self._patience = None, _PATIENCE
            return False
        if self._trial_since is not None:
            self._patience = min(2 * self._patience, _MAX_PATIENCE)
        self.short, self._trial_since, self._good_since, self._bad = True, None, None, 0
        return True

    def _begin_trial(self, now: float) -> bool:
        if self._good_since is None or now - self._good_since < self._patience:
            return False
        self.short, self._trial_since, self._bad = False, now, 0
        return True

"""What this gateway knows of its hearing: how long ago it last heard all of the bus, and since when without a break."""

import time
from collections.abc import Callable

DEAF_SECONDS = 5.0
"""Without a finished round; one is made every second."""


class Hearing:
    """Times of finished rounds of hearing.

    Args:
        reconnect_grace: seconds that sessions outlive their browsers' silence.
        clock: monotonic, in seconds.
    """

    def __init__(self, reconnect_grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._reconnect_grace = reconnect_grace
        self._clock = clock
        self._heard_at = float("-inf")
        self._since = float("-inf")
        self._waiting: list[tuple[float, Callable[[], None]]] = []

    def finished(self, began: float) -> None:
        """Take note that a round is finished, which began at that time."""
        if began - self._heard_at >= DEAF_SECONDS:
            self._since = began
        self._heard_at = began
        due = [heard for asked_at, heard in self._waiting if asked_at <= began]
        self._waiting = [(asked_at, heard) for asked_at, heard in self._waiting if asked_at > began]
        for heard in due:
            heard()

    def once_heard(self, heard: Callable[[], None]) -> None:
        """Call back when all has been heard that is committed by now."""
        self._waiting.append((self._clock(), heard))

    @property
    def silence(self) -> float:
        """Seconds since the bus was last heard."""
        return self._clock() - self._heard_at

    @property
    def deaf(self) -> bool:
        """Whether that is too long for anything to be begun."""
        return self.silence >= DEAF_SECONDS

    def grace_left(self, lost_at: float) -> float:
        """Say how many seconds of the reconnect grace are left to a session whose browser was lost at a monotonic time.

        Where the bus was not heard, the browser may have resumed elsewhere, or been refused; so it counts from its being heard again.
        """
        now = self._clock()
        return (now if self.deaf else max(lost_at, self._since)) + self._reconnect_grace - now

"""What a partition remembers for a while, and never forgets early."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Values by key, each kept for a fixed age of message time.

    Args:
        age_ms: how long a value is kept.
    """

    def __init__(self, age_ms: int) -> None:
        self._age_ms = age_ms
        self._values: OrderedDict[K, tuple[int, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """Return what is remembered of a key."""
        entry = self._values.get(key)
        return None if entry is None else entry[1]

    def keep(self, key: K, value: V, at: int) -> None:
        """Remember a value from the message time ``at`` on; the first one of a key stays."""
        self._values.setdefault(key, (at, value))

    def forget(self, now: int) -> None:
        """Drop what is older than the age at message time ``now``."""
        while self._values:
            key, (at, _) = next(iter(self._values.items()))
            if at + self._age_ms > now:
                return
            del self._values[key]

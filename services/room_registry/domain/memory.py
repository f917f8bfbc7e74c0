"""What a partition remembers, and how a draft of it is laid over."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, KeysView, MutableMapping
from enum import Enum
from typing import Generic, Literal, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")


class Memory(Generic[K, V]):
    """Values by key, each kept for a fixed age of message time, and never forgotten early.

    Args:
        age_ms: how long a value is kept.
        below: a memory that this one is a draft of; it is read, never written.
    """

    def __init__(self, age_ms: int, below: "Memory[K, V] | None" = None) -> None:
        self._age_ms = age_ms
        self._below = below
        # What lies below a draft may get by and by what the draft holds already: it is counted once.
        self._count_below = 0 if below is None else len(below)
        self._values: OrderedDict[K, tuple[int, V]] = OrderedDict()
        self._changed: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._values) + self._count_below

    def get(self, key: K) -> V | None:
        """Return what is remembered of a key."""
        entry = self._values.get(key)
        if entry is not None:
            return entry[1]
        if key in self._changed:
            return self._changed[key]
        return None if self._below is None else self._below.get(key)

    def keep(self, key: K, value: V, at: int) -> bool:
        """Remember a value from the message time ``at`` on. The first one of a key stays: False is for another one."""
        if self.get(key) is not None:
            return False
        self._values[key] = (at, value)
        return True

    def change(self, key: K, value: V) -> None:
        """Remember another value of a key that is known, for as long as the one before."""
        if key in self._values:
            self._values[key] = (self._values[key][0], value)
        else:
            self._changed[key] = value

    def forget(self, now: int) -> list[tuple[K, V]]:
        """Drop what is older than the age at message time ``now``, and return it."""
        forgotten = []
        while self._values:
            key, (at, value) = next(iter(self._values.items()))
            if at + self._age_ms > now:
                break
            del self._values[key]
            forgotten.append((key, value))
        return forgotten

    def items(self) -> list[tuple[K, int, V]]:
        """Return what is remembered, each with the message time that it is kept from, the oldest first. Not of a draft."""
        return [(key, at, value) for key, (at, value) in self._values.items()]

    def draft(self) -> "Memory[K, V]":
        """Make a memory over this one, that can be thrown away."""
        return Memory(self._age_ms, self)


class _Deleted(Enum):
    """What an overlay holds for a key that is not there any more."""

    DELETED = 0


class Overlay(MutableMapping[K, V]):
    """A mapping over another one, which is read, never written."""

    def __init__(self, below: MutableMapping[K, V]) -> None:
        self._below = below
        self._over: dict[K, V | Literal[_Deleted.DELETED]] = {}

    def __getitem__(self, key: K) -> V:
        if key not in self._over:
            return self._below[key]
        value = self._over[key]
        if value is _Deleted.DELETED:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        if key in self._over:
            return self._over[key] is not _Deleted.DELETED
        return key in self._below

    def __setitem__(self, key: K, value: V) -> None:
        self._over[key] = value

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self._over[key] = _Deleted.DELETED

    def __iter__(self) -> Iterator[K]:
        yield from (key for key, value in self._over.items() if value is not _Deleted.DELETED)
        yield from (key for key in self._below if key not in self._over)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Counts(Generic[K]):
    """How many there are of each key; none is no key.

    Args:
        values: none of which is zero.
    """

    def __init__(self, values: MutableMapping[K, int]) -> None:
        self._values = values

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def add(self, key: K, number: int) -> None:
        """Count some more of a key, or fewer."""
        count = self._values.get(key, 0) + number
        if count:
            self._values[key] = count
        else:
            del self._values[key]

    def keys(self) -> KeysView[K]:
        """Return the keys that there are some of."""
        return self._values.keys()

    def draft(self) -> "Counts[K]":
        """Make counts over these, that can be thrown away."""
        return Counts(Overlay(self._values))

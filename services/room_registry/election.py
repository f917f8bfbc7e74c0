"""Who should own which partition: rendezvous hashing over the replicas that are heard. Pure: the time is an argument.

This decides who tries; the fence of the stream decides who writes. So being wrong for a moment costs a moment.
"""

import hashlib


class Election:
    """What one replica knows of the others.

    Args:
        me: this replica's id.
        lease: seconds without a word after which a replica counts as gone.
    """

    def __init__(self, me: str, lease: float) -> None:
        self._me = me
        self._lease = lease
        self._heard: dict[str, float] = {}
        self._leaving = False

    def hear(self, replica: str, now: float, *, leaving: bool) -> bool:
        """Take a word of another replica at monotonic time ``now``; True where it was not known to be there."""
        if replica == self._me:
            return False
        if leaving:
            self._heard.pop(replica, None)
            return False
        new = replica not in self._heard
        self._heard[replica] = now
        return new

    def leave(self) -> None:
        """Stand no more."""
        self._leaving = True

    def others(self, now: float) -> list[str]:
        """Return the other replicas that are there, and forget those that are gone."""
        self._heard = {replica: at for replica, at in self._heard.items() if now - at < self._lease}
        return sorted(self._heard)

    def mine(self, partitions: int, now: float) -> set[int]:
        """Return the partitions that this replica should own."""
        if self._leaving:
            return set()
        standing = [self._me, *self.others(now)]
        return {number for number in range(partitions) if max(standing, key=lambda replica: _weight(replica, number)) == self._me}


def _weight(replica: str, partition: int) -> bytes:
    return hashlib.sha256(f"{partition}.{replica}".encode()).digest()

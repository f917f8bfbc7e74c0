"""When a gateway is lost: as long as a lease is not renewed, the gateway must have gone silent by itself. Pure: time is an argument.

A gateway stops forwarding when it has not heard the bus for its isolation grace, and each time it has heard it, it renews its
lease. So who has seen the same revision for that long, and for a margin more, by his own clock and by what the leases' leader
said, knows that nothing leaves the gateway any more; unless it is set to go on for ever.
"""

from collections.abc import Collection
from typing import NamedTuple

from shared.contracts.leases import GatewayLease


class Graces(NamedTuple):
    """What a gateway does by itself, in seconds."""

    isolation: float | None
    """Without the bus, until it forwards nothing any more; None is never."""
    reconnect: float
    """That its sessions outlive their browsers' silence."""


class Sight(NamedTuple):
    """A lease as it was read, between two moments of the monotonic clock."""

    revision: int
    """0: there is none."""
    lease: GatewayLease | None
    asked: float
    answered: float


class _Seen(NamedTuple):
    revision: int
    since: float


class Watch:
    """What the owner of one partition has seen of leases since it took over.

    Args:
        margin: seconds on top of a gateway's isolation grace.
        unknown: the graces of a gateway that has no lease.
    """

    def __init__(self, margin: float, unknown: Graces) -> None:
        self._margin = margin
        self._unknown = unknown
        self._seen: dict[str, _Seen] = {}

    def see(self, gateway: str, sight: Sight) -> bool:
        """Take what was read of a gateway's lease; True where the gateway is lost."""
        seen = self._seen.get(gateway)
        if seen is None or seen.revision != sight.revision:
            # Nobody knows when between asking and answering it was read: the wait is the shortest that it may have been.
            self._seen[gateway] = _Seen(sight.revision, sight.answered)
            return False
        return sight.asked - seen.since >= self._patience(sight.lease)

    def is_silent(self, sight: Sight) -> bool:
        """Say whether nothing leaves a gateway that is lost: one whose isolation grace is never may only be cut off."""
        lease = sight.lease
        return (lease is not None and lease.gone) or self._graces(lease).isolation is not None

    def miss(self, gateway: str) -> None:
        """Start a gateway's clock anew: its lease could not be read, and may have been renewed and renewed meanwhile."""
        self._seen.pop(gateway, None)

    def keep(self, gateways: Collection[str]) -> None:
        """Forget all other gateways."""
        self._seen = {gateway: seen for gateway, seen in self._seen.items() if gateway in gateways}

    def _patience(self, lease: GatewayLease | None) -> float:
        graces = self._graces(lease)
        if lease is not None and lease.gone:
            return graces.reconnect
        return max((graces.isolation or 0.0) + self._margin, graces.reconnect)

    def _graces(self, lease: GatewayLease | None) -> Graces:
        return self._unknown if lease is None else Graces(lease.isolation_grace, lease.reconnect_grace)

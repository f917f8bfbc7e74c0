"""How much a second: token buckets by key. Pure: the time is an argument."""

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable


def network_of(host: str) -> str:
    """Give the name under which an address is counted: of IPv6 a subscriber has a whole /64. What is no address counts as it is."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        # A socket of both versions shows IPv4 so.
        return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


class RateLimits:
    """Buckets that fill at a rate up to a size.

    Args:
        rate: tokens a second.
        burst: a bucket's size; one second's tokens, and at least one, where it is not given.
        keys: how many buckets are kept; beyond it the one used longest ago is dropped, which fills it.
    """

    def __init__(self, rate: float, burst: float | None = None, keys: int = 10_000) -> None:
        self._rate = rate
        self._size = max(1.0, rate) if burst is None else burst
        self._keys = keys
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, now: float) -> bool:
        """Take one token out of the key's bucket; False where it is empty. ``now`` is of any monotonic clock, in seconds."""
        tokens = self._tokens(key, now)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return allowed

    def left(self, key: Hashable, now: float) -> bool:
        """Say whether a token could be taken now, and take none."""
        return self._tokens(key, now) >= 1

    def _tokens(self, key: Hashable, now: float) -> float:
        tokens, since = self._buckets.get(key, (self._size, now))
        return min(self._size, tokens + (now - since) * self._rate)

"""The m-lines of a subscriber's peer connection: which track is where, and what the next offer says.

An m-line never goes away, and a mid never carries a second track. When all places are taken, dead m-lines are offered
with port 0; once the client has answered that, their places take new m-lines with new mids (RFC 8829, 5.2.2). The
first m-line stays as it is, dead or not: the BUNDLE's transport hangs on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.edge_gateway.media.codecs import CODECS, Codec

_PLACEHOLDER = CODECS["opus"]


@dataclass(eq=False, slots=True)
class Line:
    """One m-line."""

    mid: str
    codec: Codec
    track: str | None
    """What it carries; none, and never again: it is dead."""
    rejected: bool = False
    """It is offered with port 0."""


@dataclass(slots=True)
class Lines:
    """All m-lines of one subscriber.

    Args:
        limit: places in the SDP.
    """

    limit: int
    changed: bool = False
    """The last offer does not say everything."""
    _places: list[Line] = field(default_factory=list)
    _reusable: list[int] = field(default_factory=list)
    _waiting: dict[str, Codec] = field(default_factory=dict)
    _next_mid: int = 0

    def want(self, tracks: Mapping[str, Codec]) -> None:
        """Carry exactly these tracks: others' lines die, new ones wait for the next offer."""
        for line in self._places:
            if line.track is not None and line.track not in tracks:
                line.track = None
                self.changed = True
        carried = {line.track for line in self._places}
        waiting = {track: codec for track, codec in tracks.items() if track not in carried}
        self.changed = self.changed or bool(waiting.keys() - self._waiting.keys())
        self._waiting = waiting

    def lay_out(self) -> tuple[Line, ...]:
        """Give what waits a place, and return what to offer, in order."""
        for track, codec in list(self._waiting.items()):
            line = Line(str(self._next_mid), codec, track)
            if self._reusable:
                self._places[self._reusable.pop(0)] = line
            elif len(self._places) < self.limit:
                self._places.append(line)
            else:
                break
            del self._waiting[track]
            self._next_mid += 1
        if not self._places:
            # All was given up before the first offer. Chromium takes none without m-lines, so there is a dead one.
            self._places.append(Line(str(self._next_mid), _PLACEHOLDER, None))
            self._next_mid += 1
        if self._waiting:
            for line in self._places[1:]:
                line.rejected = line.rejected or line.track is None
        self.changed = False
        return tuple(self._places)

    def answered(self, offered: tuple[Line, ...]) -> None:
        """Take note that the client answered the offer of these lines."""
        for index, line in enumerate(offered):
            if line.rejected and self._places[index] is line and index not in self._reusable:
                self._reusable.append(index)
        self.changed = self.changed or bool(self._waiting)

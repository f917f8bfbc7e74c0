"""What a session publishes, as the others see it."""

from dataclasses import dataclass, field
from typing import Literal

StreamKind = Literal["main", "auxiliary"]
"""Camera and microphone, or the screen beside them: a session publishes at most one of each."""


@dataclass(frozen=True)
class Stream:
    """What a session publishes."""

    id: str
    session: str
    user: str
    tracks: dict[str, str] = field(default_factory=dict)
    """Kind (``audio``, ``video``) to the track's id in the media engine."""
    kind: StreamKind = "main"
    codecs: dict[str, str] = field(default_factory=dict)
    """Kind to the codec's name."""
    small: bool = False
    """There is a small picture beside the big one."""
    muted: frozenset[str] = frozenset()
    """The kinds that its publisher has muted."""

    def describe(self) -> dict[str, object]:
        """Build what the protocol says of a stream."""
        return {
            "stream": self.id,
            "session": self.session,
            "user": self.user,
            "kind": self.kind,
            "audio": "audio" in self.tracks,
            "video": "video" in self.tracks,
            "codecs": self.codecs,
            "small": self.small,
            "muted": sorted(self.muted),
        }

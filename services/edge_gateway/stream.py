"""What a session publishes, as the others see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stream:
    """What a session publishes."""

    id: str
    session: str
    user: str
    tracks: dict[str, str]
    """Kind (``audio``, ``video``) to the track's id in the media engine."""

    def describe(self) -> dict[str, object]:
        """Build what the protocol says of a stream."""
        return {
            "stream": self.id,
            "session": self.session,
            "user": self.user,
            "kind": "main",
            "audio": "audio" in self.tracks,
            "video": "video" in self.tracks,
        }

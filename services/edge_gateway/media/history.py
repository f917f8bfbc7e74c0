"""The packets of a video track that may be asked for again."""

from services.edge_gateway.media.rtp import Packet

SIZE = 1024
"""A power of two: about 8 s of a small video, 3 s of a large one."""


class History:
    """A ring of a track's latest packets, by the publisher's sequence number."""

    def __init__(self) -> None:
        self._ring: list[Packet | None] = [None] * SIZE

    def keep(self, packet: Packet) -> None:
        """Put a packet in the place of the one that is older by the ring's size."""
        self._ring[packet.sequence % SIZE] = packet

    def find(self, sequence: int) -> Packet | None:
        """Return the packet of that number, if it is still there."""
        packet = self._ring[sequence % SIZE]
        return packet if packet is not None and packet.sequence == sequence else None

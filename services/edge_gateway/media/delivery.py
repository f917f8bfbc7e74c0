"""What becomes of one stream at its subscriber, by what that says of it (RFC 3550, 6.4.1; RFC 4585, 6). Pure."""

from collections import deque

from services.edge_gateway.media.measures import Traffic
from services.edge_gateway.media.rtcp import ReportBlock

_KEPT = 4
"""Sender reports that may be on their way: browsers send one or two a second."""


class Delivery:
    """Of one stream."""

    def __init__(self) -> None:
        self.lost = 0
        """Packets, by the subscriber's last report."""
        self.nacks = 0
        self.key_frame_requests = 0
        self.repairs = 0
        self._reports: deque[tuple[int, float]] = deque(maxlen=_KEPT)

    def reported(self, ntp: int, now: float) -> None:
        """Take note of a sender report to it.

        Args:
            ntp: the 64 bits of time in it.
            now: monotonic seconds.
        """
        self._reports.append((ntp >> 16 & 0xFFFFFFFF, now))

    def heard(self, block: ReportBlock, now: float) -> float | None:
        """Take its report.

        Returns:
            Seconds to the subscriber and back; None where it is not about a report that is known, or cannot be true.
        """
        self.lost = max(0, block.lost)
        for ntp, at in self._reports:
            if ntp == block.last_report:
                seconds = now - at - block.since_last_report / 65536
                return seconds if seconds >= 0 else None
        return None

    def traffic(self, packets: int, octets: int) -> Traffic:
        """Say all of it, with what was sent."""
        return Traffic(packets, octets, self.lost, self.nacks, self.key_frame_requests, self.repairs)

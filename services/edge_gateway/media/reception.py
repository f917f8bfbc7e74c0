"""What arrived of one RTP stream, and what is missing (RFC 3550, 6.4.1 and appendix A; RFC 4585)."""

from collections import OrderedDict

from services.edge_gateway.media.forwarding import Counts
from services.edge_gateway.media.rtcp import ReportBlock

WINDOW = 1024
"""So many packets back a missing one may still come."""
_ASK_AGAIN = 0.1
"""Seconds: longer than most round trips, shorter than most jitter buffers."""
_ASK_AT_MOST = 5
_ASK_INTERVAL = 0.02
"""Seconds between two requests of any kind: what is lost in between is asked for together."""
_WORTH_ASKING = 128
"""When more is missing it is no loss but an interruption; a key frame is cheaper than all of it again."""


_NEVER = float("inf")


class Reception:
    """Counts one stream. Every packet is accepted exactly once, whatever path it came by, so none is forwarded twice.

    Args:
        clock_rate: RTP timestamp units per second.
        counts: the engine's: it counts what it forwards by itself, which is never anything but the packet after the highest.
    """

    def __init__(self, clock_rate: int, counts: Counts) -> None:
        self._clock_rate = clock_rate
        self._counts = counts
        counts.ask_from = _NEVER
        # How often each was asked for, and when next; extended numbers, in rising order, so the old ones are in front.
        self._missing: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self._ask_from = float("-inf")
        self._expected_before = 0
        self._received_before = 0
        self._sender_report: tuple[int, float] | None = None  # the middle 32 bits of its NTP time, and when it came

    @property
    def lost(self) -> int:
        """Packets that did not come, those included that may still."""
        counts = self._counts
        return max(0, counts.highest - counts.first + 1 - counts.received) if counts.received else 0

    def accept(self, sequence: int, timestamp: int, now: float) -> bool:
        """Count a packet.

        Args:
            sequence: the RTP sequence number.
            timestamp: the RTP timestamp.
            now: monotonic seconds.

        Returns:
            False for one that was there already, that is older than the window, or from before an interruption.
        """
        counts = self._counts
        if not counts.received:
            counts.first = counts.highest = sequence
        else:
            ahead = (sequence - counts.highest) & 0xFFFF
            if ahead == 1:
                counts.highest += 1
            elif 0 < ahead < 0x8000:
                self._skip(counts.highest + ahead, now)
            elif not self.awaits(sequence):
                return False
            else:
                del self._missing[self.extended(sequence)]
                self._wake()
        counts.received += 1
        self._measure_jitter(timestamp, now)
        return True

    def awaits(self, sequence: int) -> bool:
        """Tell whether a packet is missing."""
        self._forget_the_old()
        return self.extended(sequence) in self._missing

    def give_up(self) -> None:
        """Await nothing any more of what is missing."""
        self._missing.clear()
        self._wake()

    def extended(self, sequence: int) -> int:
        """Extend a number that is not above the highest."""
        highest: int = self._counts.highest
        return highest - (highest - sequence & 0xFFFF)

    def _skip(self, highest: int, now: float) -> None:
        skipped = range(self._counts.highest + 1, highest)
        self._counts.highest = highest
        self._forget_the_old()
        if len(self._missing) + len(skipped) > _WORTH_ASKING:
            self._missing.clear()
        else:
            for number in skipped:
                self._missing[number] = (0, now)
        self._wake()

    def _forget_the_old(self) -> None:
        # Not a dict: its front is found only by passing all that was deleted there.
        while self._missing and next(iter(self._missing)) < self._counts.highest - WINDOW:
            self._missing.popitem(last=False)

    def _wake(self) -> None:
        """Have packets handed up when it is time to ask again."""
        self._counts.ask_from = self._ask_from if self._missing else _NEVER

    def _measure_jitter(self, timestamp: int, now: float) -> None:
        counts = self._counts
        transit = now * self._clock_rate - timestamp
        if counts.received > 1:
            # Both clocks go on; the timestamp's wrap shows as one huge step, which is no jitter.
            step = abs(transit - counts.transit)
            if step < 0x80000000:
                counts.jitter += (step - counts.jitter) / 16
        counts.transit = transit

    def missing(self, now: float) -> list[int]:
        """Return the sequence numbers to ask the sender for now, oldest first; each is asked for a few times."""
        if not self._missing or now < self._ask_from:
            return []
        self._forget_the_old()
        self._ask_from = now + _ASK_INTERVAL
        self._wake()
        due = [(number, asked) for number, (asked, at) in self._missing.items() if at <= now and asked < _ASK_AT_MOST]
        for number, asked in due:
            self._missing[number] = (asked + 1, now + _ASK_AGAIN)
        return [number & 0xFFFF for number, _ in due]

    def sender_report(self, ntp: int, now: float) -> None:
        """Remember the sender's report, so that it can measure the round trip by ours."""
        self._sender_report = (ntp >> 16 & 0xFFFFFFFF, now)

    def report(self, ssrc: int, now: float) -> ReportBlock | None:
        """Say what arrived since the last report; nothing before the first packet."""
        counts = self._counts
        received: int = counts.received
        if not received:
            return None
        expected: int = counts.highest - counts.first + 1
        expected_since = expected - self._expected_before
        lost_since = expected_since - (received - self._received_before)
        self._expected_before, self._received_before = expected, received
        last, came = self._sender_report or (0, now)
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=min(255, (lost_since << 8) // expected_since) if expected_since > 0 and lost_since > 0 else 0,
            lost=max(-0x800000, min(expected - received, 0x7FFFFF)),
            highest=counts.highest & 0xFFFFFFFF,
            jitter=int(counts.jitter) & 0xFFFFFFFF,
            last_report=last,
            since_last_report=int((now - came) * 65536) & 0xFFFFFFFF,
        )

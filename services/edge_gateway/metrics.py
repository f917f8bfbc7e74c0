"""What a gateway counts and measures. All durations are of its own monotonic clock, but one, whose text says so."""

import time
from collections import Counter
from collections.abc import Iterable
from typing import get_args

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from services.edge_gateway.hearing import Hearing
from services.edge_gateway.media.interface import Limit, MediaPlane
from services.edge_gateway.media.metrics import look_at_media
from services.edge_gateway.receipts import ReceiptBook
from services.edge_gateway.room import LocalRooms
from shared.contracts.reasons import CLIENT_BANNED, LeaveReason
from shared.contracts.subjects import Part
from shared.metrics import FollowerMetrics, Looked


class GatewayMetrics(FollowerMetrics):
    """The metrics of one gateway."""

    def __init__(self) -> None:
        super().__init__(Part.GATEWAY)
        self._rooms: LocalRooms | None = None
        self._media: MediaPlane | None = None
        self._arrivals = self._counter(
            "arrivals_total", "Joins and resumes answered; the outcome is admitted, or an error.", "type", "outcome"
        )
        self._arrival_seconds = self._seconds("arrival_duration_seconds", "From the request to the answer, of those admitted.", "type")
        self._departures = self._counter("departures_total", "Sessions that ended here, or went on elsewhere (moved).", "reason")
        self._delay = self._seconds(
            "event_delay_seconds", "From the time that the owner wrote into a message to its being applied here: two machines' clocks."
        )
        self._notice = self._seconds(
            "notice_duration_seconds", "From hearing of an ending to its notice on the socket, media stopped.", "reason"
        )
        self._told = self._seconds("told_duration_seconds", "From hearing of an ending to the browser's word that it was told.", "reason")
        self._unheard = self._counter("notices_unacknowledged_total", "Notices without the browser's word in time.", "reason")
        self._receipts = self._counter("receipt_writes_total", "Receipts written, or tried in vain.", "outcome")
        self._lost = self._counter("receipts_dropped_total", "Sessions whose receipt found no room among those that wait.")
        self._pending = self._gauge("receipts_waiting", "Sessions whose receipt is not stored yet.")
        self._lease_age = self._gauge(
            "gateway_lease_age_seconds", "Since the round began with which this gateway's lease was renewed last."
        )
        self._deaf = self._gauge("gateway_deaf", "1 while the bus was not heard for so long that nothing may be begun.")
        self._media_refused = self._counter("media_refused_total", "Requests to publish or to receive beyond a bound, by which.", "limit")
        for kind in ("join", "resume"):
            self._arrivals.labels(kind, "admitted")
        for reason in (*LeaveReason, "moved"):
            self._departures.labels(reason)
        for reason in CLIENT_BANNED:
            self._unheard.labels(reason)
        # Looked up once: a dismissal measures thousands in a row.
        self._notice_of = {reason: self._notice.labels(reason) for reason in LeaveReason}
        for outcome in ("written", "failed"):
            self._receipts.labels(outcome)
        for limit in get_args(Limit):
            self._media_refused.labels(limit)
        self.registry.register(Looked(self._look_at_rooms))
        self.registry.register(Looked(lambda: look_at_media(self._media)))

    def watch_house(self, rooms: LocalRooms, hearing: Hearing, receipts: ReceiptBook) -> None:
        """Say where to look for what is here."""
        self._rooms = rooms
        self._pending.set_function(lambda: receipts.waiting)
        self._lease_age.set_function(lambda: hearing.silence)
        self._deaf.set_function(lambda: hearing.deaf)

    def watch_media(self, media: MediaPlane) -> None:
        """Say where to look for what media is measured by."""
        self._media = media

    def admitted(self, kind: str, seconds: float) -> None:
        """Count a join or a resume that was answered with yes."""
        self._arrivals.labels(kind, "admitted").inc()
        self._arrival_seconds.labels(kind).observe(seconds)

    def refused(self, kind: str, code: str) -> None:
        """Count a join or a resume that was answered with no."""
        self._arrivals.labels(kind, code).inc()

    def departed(self, reason: str) -> None:
        """Count a session that is not here any more: a leave reason, or ``moved``."""
        self._departures.labels(reason).inc()

    def heard(self, committed_at: int, now: int) -> None:
        """Measure how late a committed message is; both are Unix time in milliseconds."""
        self._delay.observe(max(0, now - committed_at) / 1000)

    def noticed(self, reason: LeaveReason, heard_at: float) -> None:
        """Measure a notice that was put on the socket just now; ``heard_at`` is monotonic."""
        self._notice_of[reason].observe(time.monotonic() - heard_at)

    def told(self, reason: str, heard_at: float) -> None:
        """Measure a notice that the browser has acknowledged just now."""
        self._told.labels(reason).observe(time.monotonic() - heard_at)

    def unheard(self, reason: str) -> None:
        """Count a notice that the browser has not acknowledged in time."""
        self._unheard.labels(reason).inc()

    def receipt_written(self, written: bool) -> None:  # noqa: FBT001 -- called as a measure
        """Count a receipt that was stored, or was not."""
        self._receipts.labels("written" if written else "failed").inc()

    def media_refused(self, limit: Limit) -> None:
        """Count a request to publish or to receive that was beyond a bound."""
        self._media_refused.labels(limit).inc()

    def receipt_dropped(self) -> None:
        """Count a session whose receipt was thrown away."""
        self._lost.inc()

    def _look_at_rooms(self) -> Iterable[Metric]:
        sessions = GaugeMetricFamily("stagedoor_gateway_sessions", "Sessions held here, those that come or go included.")
        rooms = GaugeMetricFamily("stagedoor_gateway_rooms", "Rooms that have a session here.")
        tracks = GaugeMetricFamily("stagedoor_gateway_tracks", "Tracks published here.", labels=["kind"])
        if self._rooms is not None:
            sessions.add_metric([], len(self._rooms.everybody()))
            rooms.add_metric([], len(self._rooms.rooms()))
            published = Counter(kind for room in self._rooms.rooms() for stream in room.streams.values() for kind in stream.tracks)
            for kind in ("audio", "video"):
                tracks.add_metric([kind], published[kind])
        return sessions, rooms, tracks

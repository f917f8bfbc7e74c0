"""What the server API counts and measures."""

from collections.abc import Mapping

from services.admin_api.requests import ACTIONS
from shared.contracts.receipts import ReceiptState
from shared.contracts.subjects import Part
from shared.metrics import Metrics

_OTHER = "other"
"""What somebody else has made up is no label."""


class AdminMetrics(Metrics):
    """The metrics of one process of the server API."""

    def __init__(self) -> None:
        super().__init__(Part.ADMIN)
        self._requests = self._counter(
            "admin_requests_total", "Requests answered; the code is ok, or the error's first word.", "action", "code"
        )
        self._seconds_taken = self._seconds("admin_request_duration_seconds", "From the request's first byte read to its answer.", "action")
        self._kicks = self._seconds(
            "kick_confirmed_duration_seconds", "From a request to every session it ended being stopped and told.", "action"
        )
        self._outcomes = self._counter("receipts_answered_total", "Sessions that requests have ended, by what was known in time.", "state")
        for action in ACTIONS:
            self._requests.labels(action, "ok")
        for state in ReceiptState:
            self._outcomes.labels(state)

    def answered(self, action: object, code: str, seconds: float) -> None:
        """Count a request. Of its code the first word counts: what follows may be the caller's."""
        label = str(action) if action in ACTIONS else _OTHER
        self._requests.labels(label, code.partition(".")[0]).inc()
        self._seconds_taken.labels(label).observe(seconds)

    def carried_out(self, action: str, states: Mapping[ReceiptState, int], seconds: float) -> None:
        """Count what became of the sessions that a request has ended."""
        for state, number in states.items():
            self._outcomes.labels(state).inc(number)
        if (confirmed := states.get(ReceiptState.CONFIRMED, 0)) and confirmed == sum(states.values()):
            self._kicks.labels(action).observe(seconds)

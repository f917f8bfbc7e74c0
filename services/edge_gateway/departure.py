"""A session's way out: what its browser is told, what that says to it, and what is reported to whoever ended the session."""

from services.edge_gateway import protocol
from services.edge_gateway.arrival import Arrival, Joining, Resuming
from services.edge_gateway.ending import EndedBeforeError, Ending
from services.edge_gateway.house import House
from services.edge_gateway.inbox import Inbox
from services.edge_gateway.protocol import CloseCode, ErrorCode, RequestRefusedError
from services.edge_gateway.receipts import Report
from services.edge_gateway.record import Record
from services.edge_gateway.socket import Socket
from shared.tracing import Span

ACK_SECONDS = 2.0
SOON_SECONDS = 0.25
"""How long a report of stopped media waits for the browser's word: most are one receipt then, and others are told first."""


class Departure:
    """One session's.

    Args:
        arrival: how it came.
        house: of the gateway.
        record: of the session.
        socket: to its browser.
        inbox: where the browser's word comes in.
    """

    def __init__(self, arrival: Arrival, house: House, record: Record, socket: Socket, inbox: Inbox) -> None:
        self.ending: Ending | None = None
        """By what was committed; None where it ends otherwise, or only here."""
        self.leave_request: int | None = None
        """The client's own, which is answered when the session has ended."""
        self.media_stopped_at: int | None = None
        """Unix time in milliseconds; None where this gateway had no media of it."""
        self._arrival = arrival
        self._receipts = house.receipts
        self._metrics = house.metrics
        self._tracer = house.tracer
        self._record = record
        self._span: Span | None = None
        self._report: Report | None = None
        self._socket = socket
        self._inbox = inbox
        self._awaits_ack = False
        self._is_told_here = False
        self._is_told_beside = False

    def end(self, ending: Ending, user: str | None) -> None:
        """Take note of how the session ended, and whose it was, where that is known."""
        self.ending = ending
        self._trace(ending)
        if ending.wants_receipt and user is not None:
            self._report = Report(self._receipts, self._arrival.key.app, ending.command, self._arrival.session, user)

    def tell(self, ending: Ending) -> None:
        """Give the browser the notice over its socket, once."""
        if not self._is_told_here:
            self._is_told_here = True
            self._socket.send_text(ending.notice())
            self._note_notice(ending)

    def told_beside(self, ending: Ending) -> None:
        """Take note that the browser is given the notice over a data channel, whatever becomes of its socket."""
        self._is_told_beside = True
        self._note_notice(ending)

    def _note_notice(self, ending: Ending) -> None:
        self._trace(ending)
        if not self._awaits_ack and ending.heard_at is not None:
            self._metrics.noticed(ending.reason, ending.heard_at)
        self._awaits_ack = True

    def say_last_word(self, *, reachable: bool) -> None:
        """Answer the client's leave; give the notice to who did not ask for the end."""
        if self.leave_request is not None:
            self._socket.send(protocol.result(self.leave_request, {}))
        elif self.ending is not None and reachable:
            self.tell(self.ending)

    def refuse(self, error: RequestRefusedError) -> int:
        """Tell the browser that it is not let in. Returns what its socket is closed with."""
        arrival = self._arrival
        if isinstance(arrival, Resuming) and error.code is ErrorCode.INVALID_STATE:
            # Carried out, and overtaken by a later resume before the answer came.
            return CloseCode.SUPERSEDED
        self._record.refused(arrival.kind, error)
        if isinstance(arrival, Joining) and isinstance(error, EndedBeforeError):
            self._tell_over(arrival, error)
            return CloseCode.ENDED
        self._socket.send(protocol.refusal(arrival.request, error))
        if isinstance(error, EndedBeforeError):
            # The refusal of a resume has told the browser how the session ended.
            self.end(error.ending, error.user)
            self._awaits_ack = error.ending.is_told
        return CloseCode.JOIN_REFUSED

    def _tell_over(self, arrival: Joining, error: EndedBeforeError) -> None:
        """Tell of a join that was carried out, and of the end that came before its answer: success first, then the notice."""
        gone = {"token": arrival.token, "session": arrival.session, "attachment": 1, "codecs": [], "peers": [], "streams": []}
        self._socket.send(protocol.result(arrival.request, gone))
        self.media_stopped_at = self._receipts.now()
        self.end(error.ending, error.user)
        self.tell(error.ending)

    async def finish(self) -> bool | None:
        """Wait for the browser's word that its application was told, and report what is certain by then.

        Returns:
            Whether it was told; None where there was nothing to tell.
        """
        told = await self._hear_that_it_was_told()
        if self._span is not None:
            self._span.end(told=bool(told))
        return told

    async def _hear_that_it_was_told(self) -> bool | None:
        if not self._awaits_ack:
            self._write_report(told=False)
            return None
        told = await self._inbox.acknowledged(SOON_SECONDS, only_by_socket=not self._is_told_beside)
        self._write_report(told=bool(told))
        if told is None:
            told = await self._inbox.acknowledged(ACK_SECONDS - SOON_SECONDS, only_by_socket=not self._is_told_beside)
            if told:
                self._write_report(told=True)
        self._count_notice(told=bool(told))
        return bool(told)

    def _trace(self, ending: Ending) -> None:
        if ending.trace and self._span is None:
            attributes = {"reason": str(ending.reason), "command": ending.command, "correlation": ending.correlation}
            self._span = self._tracer.begin("end_session", ending.trace, **attributes)

    def _count_notice(self, *, told: bool) -> None:
        if self.ending is None or self.ending.heard_at is None:
            return
        if told:
            self._metrics.told(self.ending.reason, self.ending.heard_at)
        else:
            self._metrics.unheard(self.ending.reason)

    def _write_report(self, *, told: bool) -> None:
        if self._report is not None:
            self._report.write(self.media_stopped_at, told=told)

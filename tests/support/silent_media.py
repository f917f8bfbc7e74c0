"""A media engine without media: it keeps the rules of the interface and writes down what it was asked."""

from services.edge_gateway.media.interface import MediaRefusedError, Offer, Published, Stopped, Track
from services.edge_gateway.media.measures import Measures


class SilentMedia:
    """Every publication has one audio and one video track, and every choice of tracks leads to an offer."""

    def __init__(self, on_offer, on_failed, on_said=lambda _: None):
        self.on_offer = on_offer
        self.on_said = on_said
        self.channels = set()
        self.notices = []
        self.on_failed = on_failed
        self.calls = []
        self.published = {}
        self.offers = {}
        self.deadlines = []
        self.closed = False
        self.away = []
        self.measured = Measures()
        self.sdp = "v=0 offer"

    def engine_of(self, _room):
        return self

    async def publish(self, session, offer):
        self.calls.append(("publish", session))
        if session in self.published:
            raise MediaRefusedError("invalid_state", "publishes already")
        if not offer.startswith("v=0"):
            raise MediaRefusedError("unsupported_media", "not an SDP")
        tracks = (Track(f"a{len(self.calls)}", "audio", "opus"), Track(f"v{len(self.calls)}", "video", "VP8"))
        self.published[session] = tracks
        return Published("v=0 answer", tracks)

    async def unpublish(self, session):
        self.calls.append(("unpublish", session))
        self.published.pop(session, None)

    async def restart_publication(self, session, offer):  # noqa: ARG002 -- the interface's
        self.calls.append(("restart_publication", session))
        return "v=0 restarted"

    async def restart_subscription(self, session):
        self.calls.append(("restart_subscription", session))
        if session not in self.offers:
            raise MediaRefusedError("invalid_state", "receives nothing")

    async def mute(self, session, kinds):
        self.calls.append(("mute", session, kinds))

    async def subscribe(self, session, tracks, small=frozenset()):
        self.calls.append(("subscribe", session, tracks, small) if small else ("subscribe", session, tracks))
        self.offers[session] = self.offers.get(session, 0) + 1
        mids = {str(number): track for number, track in enumerate(sorted(tracks))}
        self.on_offer(Offer(session, self.offers[session], self.sdp, mids))

    async def unsubscribe(self, session):
        self.calls.append(("unsubscribe", session))
        self.offers.pop(session, None)

    async def answer(self, session, number, sdp):  # noqa: ARG002 -- the interface's
        self.calls.append(("answer", session, number))
        if number != self.offers.get(session):
            raise MediaRefusedError("invalid_state", "that offer is not open")

    async def stop(self, *sessions, notice=None):
        for session in sessions:
            self.calls.append(("stop", session))
            self.published.pop(session, None)
        told = frozenset(sessions) & self.channels if notice else frozenset()
        self.notices += [(session, notice) for session in told]
        return Stopped(0.0, told)

    def measures(self):
        return self.measured

    def missing(self):
        return self.away

    def allow_until(self, deadline):
        self.deadlines.append(deadline)

    async def close(self):
        self.closed = True

"""The engine's book-keeping: who gets an offer, and what many changes at once cost."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from services.edge_gateway.media.engine import UdpMediaEngine
from services.edge_gateway.media.interface import Offer, TransportFailed
from services.edge_gateway.media.settings import MediaSettings
from tests.support.sdp import CAPTURED
from tests.support.steps import counted


class House:
    """An engine whose clients are only told things."""

    def __init__(self) -> None:
        self.engine: UdpMediaEngine
        self.offers: list[Offer] = []
        self.takes_offers = True
        self.failures: list[TransportFailed] = []

    async def enter(self, count: int, links: int) -> list[str]:
        """Have sessions publish, each subscribed to the tracks of some others, and connected."""
        sessions = [f"{count}-{index}" for index in range(count)]
        tracks = [{track.id for track in (await self.engine.publish(session, CAPTURED["chromium-offer"])).tracks} for session in sessions]
        for index, session in enumerate(sessions):
            wanted = set().union(*(tracks[(index + link) % count] for link in range(1, links + 1)))
            await self.engine.subscribe(session, frozenset(wanted))
        await self.settle()
        for session in sessions:
            subscriber = self.engine._subscribers[session]
            subscriber._negotiated.update(subscriber._subscriptions)
            subscriber.on_connected()
        self.offers.clear()
        return sessions

    async def settle(self) -> None:
        """Let the loop turn until what is due is done."""
        await asyncio.sleep(0)
        while self.engine._settling:
            await asyncio.sleep(0)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Give an engine."""
    house = House()
    settings = MediaSettings(host="127.0.0.1", port=0, max_subscriptions=500, max_media_lines=600)
    house.engine = await UdpMediaEngine.start(
        settings, house.offers.append, on_failed=house.failures.append, may_offer=lambda: house.takes_offers
    )
    house.engine.allow_until(None)
    yield house
    await house.engine.close()


async def test_an_offer_that_cannot_be_made_takes_no_other_with_it(house, monkeypatch):
    """It is lost loudly, with the session's name; the others go out."""
    sessions = await house.enter(4, 1)
    for session in sessions[:3]:
        house.engine._subscribers[session]._open = None

    def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(house.engine._subscribers[sessions[1]], "make_offer", broken)
    for session in sessions[:3]:
        await house.engine.subscribe(session, frozenset())
    with capture_logs() as logs:
        await house.settle()
    assert [offer.session for offer in house.offers] == [sessions[0], sessions[2]]
    assert [(entry["event"], entry["session"]) for entry in logs] == [("media_offer_lost", sessions[1])]


async def test_offers_of_a_large_room_leave_room_for_packets_between_them(house):
    """One unpublish makes as many offers as there are subscribers: all at once, packets would wait for hundreds of milliseconds."""
    sessions = await house.enter(50, 1)
    for session in sessions:
        house.engine._subscribers[session]._open = None
        await house.engine.subscribe(session, frozenset())
    portions = []
    for _ in range(len(sessions)):
        before = len(house.offers)
        await asyncio.sleep(0)
        portions.append(len(house.offers) - before)
    assert sorted(offer.session for offer in house.offers) == sorted(sessions)
    assert 0 < max(portions) <= 8


async def test_offers_that_are_not_taken_now_wait(house):
    """The process that passes them on may have megabytes to read already. Who is stopped meanwhile gets none."""
    sessions = await house.enter(4, 1)
    house.takes_offers = False
    for session in sessions:
        house.engine._subscribers[session]._open = None
        await house.engine.subscribe(session, frozenset())
    await house.settle()
    await house.engine.stop(sessions[0])
    assert house.offers == []
    house.takes_offers = True
    house.engine._tick()
    await house.settle()
    assert sorted(offer.session for offer in house.offers) == sorted(sessions[1:])


async def test_nothing_is_sent_where_nobody_checks_the_connection_any_more(house):
    """One check with a forged source would have a stranger flooded for as long as the session lasts."""
    now = time.monotonic()
    [ann, bob] = await house.enter(2, 1)
    engine = house.engine
    for session, port, ago in ((ann, 9, 31), (bob, 19, 29)):
        peer = engine._subscribers[session].peer
        peer.seen_at(("127.0.0.1", port), now - ago, nominated=True, credentials=peer.credentials)
    # Said once: it is silent from then on.
    for _ in range(20):
        engine._tick()
    assert house.failures == [TransportFailed(ann, "subscribe", "no connectivity check for 30 s")]


async def test_those_who_stop_together_get_no_offers_of_each_other(house):
    """Those who stay get one, however many leave."""
    sessions = await house.enter(10, 9)
    for session in sessions:
        house.engine._subscribers[session]._open = None
    await house.engine.stop(*sessions[:3])
    for session in sessions[3:7]:
        await house.engine.stop(session)
    await house.settle()
    assert [offer.session for offer in house.offers] == sessions[7:]
    assert [len(offer.mids) for offer in house.offers] == [2 * 2] * 3


@pytest.mark.parametrize("links", [4, None])
async def test_the_cost_of_stopping_grows_with_what_is_stopped(house, links):
    """Counted in the interpreter's steps for each subscription that ends: a room, and one six times as large, cost the same."""
    costs = []
    for room in (10, 60):
        each = links or room - 1
        sessions = await house.enter(room, each)
        with counted() as steps:
            for session in sessions:
                await house.engine.stop(session)
            await house.settle()
        assert house.offers == []
        costs.append(steps.count / (room * each))
    assert costs[1] < costs[0] * 1.1

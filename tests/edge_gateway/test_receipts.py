"""Receipts: what the gateway reports of an ending that an administrator caused."""

import asyncio
import contextlib
import json

import pytest

import services.edge_gateway.departure as departure_module
from services.edge_gateway.media.interface import Said
from services.edge_gateway.receipts import ReceiptBook, Report
from shared.clients.gathering import Gathering
from shared.clients.receipts import Receipts
from shared.contracts.commands import Verb
from shared.contracts.errors import UnavailableError
from shared.contracts.reasons import LeaveReason
from shared.contracts.receipts import Receipt, SessionReceipt
from shared.contracts.subjects import RECEIPT_STREAM, RECEIPTS
from tests.edge_gateway.conftest import APP


@pytest.fixture
async def heard(bus, registry):
    """The receipts that are stored, as they are stored."""
    async with Receipts(bus).gathering(APP, "cause") as gathering:
        yield gathering


async def stored(bus):
    gathering = Gathering()
    await Receipts(bus).read(APP, "cause", gathering)
    return gathering.sessions


async def test_a_removal_is_confirmed_when_the_browser_has_acknowledged(gateway, registry, heard, bus):
    """Media stopped first, then told; and the stream has it."""
    async with gateway.joined("用户2 😀") as ann:
        await registry.leave(ann.session, LeaveReason.REMOVED)
        await ann.expect("ended")
        await ann.acknowledge()
        await heard.until(lambda: heard.told() == 1, 5)
        ((by, receipt),) = heard.sessions[ann.session].items()
        assert by.startswith("edge_")
        assert (receipt.user, receipt.media_stopped_at, receipt.told_at is None) == ("用户2 😀", 0, False)
        assert await stored(bus) == heard.sessions


async def test_a_browser_that_does_not_answer_leaves_its_removal_fenced(gateway, registry, heard, monkeypatch):
    """That much is certain: its media has stopped."""
    monkeypatch.setattr(departure_module, "ACK_SECONDS", 0.2)
    async with gateway.joined("ann") as ann:
        await registry.leave(ann.session, LeaveReason.REMOVED)
        await ann.closed()
        await heard.until(lambda: bool(heard.sessions), 5)
        assert [report.told_at for report in heard.sessions[ann.session].values()] == [None]


async def test_a_session_that_nobody_here_holds_is_reported_all_the_same(gateway, registry, heard):
    """Its join was carried out, and its answer lost: whoever removes it waits for this gateway's word."""
    async with gateway.joined("ann"):
        here = (await registry.next(Verb.JOIN))["gateway"]
        for session in ("e" * 32, "f" * 32):
            await registry.join({"session": session, "user": "bob", "role": "anchor", "gateway": here})
        await registry.leave("e" * 32, LeaveReason.REMOVED)
        await registry.dismiss()
        await heard.until(lambda: len(heard.sessions) == 3, 5)
        for session in ("e" * 32, "f" * 32):
            assert heard.sessions[session][here].media_stopped_at is not None


async def test_a_browser_that_is_cut_off_is_fenced(gateway, registry, heard):
    """Nobody is there to be told."""
    async with gateway.joined("ann") as ann:
        ann.connection.transport.abort()
        await ann.closed()
        await registry.leave(ann.session, LeaveReason.REMOVED)
        await heard.until(lambda: bool(heard.sessions), 5)
        assert [report.told_at for report in heard.sessions[ann.session].values()] == [None]


@pytest.mark.parametrize("dismissed", [False, True])
async def test_a_browser_that_is_cut_off_is_told_over_its_data_channel(gateway, registry, heard, dismissed):
    """Its media path lives: what it says there counts, and nothing else that it says."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = (await ann.request("publish", kind="main", sdp="v=0"))["stream"]
        await bob.expect("stream_added")
        await bob.request("subscribe", stream=stream, audio=True, video=True)
        media = f"{bob.session}.1"
        gateway.media.channels.add(media)
        bob.connection.transport.abort()
        await bob.closed()
        await (registry.dismiss() if dismissed else registry.leave(bob.session, LeaveReason.REMOVED))
        await heard.until(lambda: bob.session in heard.sessions, 5)
        ((told, notice),) = gateway.media.notices
        assert (told, json.loads(notice)["type"]) == (media, "ended")
        assert heard.told() == 0
        for text in ("", "{", '{"type":"leave","id":1}', '{"type":"ended_ack"}', '{"type":"ended_ack"}'):
            gateway.media.on_said(Said(media, text))
        await heard.until(lambda: heard.told() == 1, 5)
        ((_, receipt),) = heard.sessions[bob.session].items()
        assert (receipt.media_stopped_at, receipt.told_at is None) == (0, False)


async def test_who_is_told_both_ways_answers_once(gateway, registry, heard, monkeypatch):
    """The socket brings the notice, too; an answer over the data channel is enough."""
    monkeypatch.setattr(departure_module, "ACK_SECONDS", 60.0)
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = (await ann.request("publish", kind="main", sdp="v=0"))["stream"]
        await bob.expect("stream_added")
        await bob.request("subscribe", stream=stream, audio=True, video=True)
        gateway.media.channels.add(f"{bob.session}.1")
        await registry.leave(bob.session, LeaveReason.REMOVED)
        assert json.dumps(await bob.expect("ended"), separators=(",", ":")) == gateway.media.notices[0][1]
        gateway.media.on_said(Said(f"{bob.session}.1", '{"type":"ended_ack"}'))
        assert await bob.closed() == 1000
        await heard.until(lambda: heard.told() == 1, 5)


async def test_nobody_needs_a_receipt_for_leaving_or_being_replaced(gateway, registry, heard, bus):
    """Those are no administrator's commands."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob, gateway.joined("eve") as eve:
        await registry.leave(bob.session, LeaveReason.REPLACED)
        await bob.expect("ended")
        await bob.acknowledge()
        await bob.closed()
        await ann.leave()
        await registry.leave(eve.session, LeaveReason.REMOVED)
        await heard.until(lambda: bool(heard.sessions), 5)
        assert set(heard.sessions) == {eve.session}


async def test_a_dismissal_is_reported_in_few_messages(gateway, registry, heard, bus):
    """However many it concerns."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(gateway.joined(f"u{number}")) for number in range(20)]
        await registry.dismiss()
        for client in clients:
            await client.expect("ended")
            await client.acknowledge()
        await heard.until(lambda: heard.told() == 20, 5)
        assert heard.told() == 20
    assert (await bus.jetstream().stream_info(RECEIPT_STREAM)).state.messages <= 20


async def test_a_receipt_is_written_until_it_is_stored():
    """And what is told in the meantime is not lost."""

    class Away:
        def __init__(self):
            self.written = []
            self.there = asyncio.Event()

        async def write(self, receipt):
            if not self.there.is_set():
                await asyncio.sleep(0)
                self.there.set()
                raise UnavailableError("away")
            self.written.append(receipt)

    ledger = Away()
    book = ReceiptBook("edge_" + "0" * 16, ledger, lambda: 7, lambda _written: None, pytest.fail)
    receipt = SessionReceipt(session="a" * 32, user="ann", media_stopped_at=3)
    book.note(1, "c", receipt)
    await ledger.there.wait()
    Report(book, 1, "c", receipt.session, "ann").write(3, told=True)
    await book.close(5)
    assert ledger.written[-1].sessions[0].told_at == 7


async def test_what_two_attachments_of_a_session_report_is_put_together():
    """The later stop counts, and that the browser was told is never taken back."""

    class Stored:
        def __init__(self):
            self.written = []

        async def write(self, receipt):
            self.written.append(receipt)

    ledger = Stored()
    book = ReceiptBook("edge_" + "0" * 16, ledger, lambda: 7, lambda _written: None, pytest.fail)
    refused, former = (Report(book, 1, "c", "a" * 32, "ann") for _ in range(2))
    refused.write(None, told=True)
    former.write(3, told=False)
    former.write(2, told=False)
    await book.close(5)
    (receipt,) = ledger.written[-1].sessions
    assert (receipt.media_stopped_at, receipt.told_at) == (3, 7)


def test_the_subject_of_a_receipt_finds_it_by_command():
    """Whoever sent the command listens before sending it."""
    assert RECEIPTS.subscription(app=1, command="c") == "stagedoor.v1.rcpt.1.c.*"
    assert Receipt(app=1, command="c", gateway="g_" + "0" * 16, sessions=(SessionReceipt(session="a" * 32, user="u", media_stopped_at=1),))

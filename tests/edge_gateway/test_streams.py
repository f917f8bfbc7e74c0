"""Publishing and subscribing, as the signalling sees it."""

import asyncio

import pytest
from stagedoor_client import RefusedError

from services.edge_gateway.inbox import MAX_ITEMS, Inbox
from services.edge_gateway.items import Move, StreamsChanged
from services.edge_gateway.media.interface import MediaRefusedError
from services.edge_gateway.room import LocalRoom
from shared.contracts.commands import Verb
from shared.contracts.ids import RoomKey
from shared.contracts.reasons import LeaveReason
from tests.edge_gateway.conftest import gateway_running

SDP = "v=0 offer"


async def published(client):
    return (await client.request("publish", kind="main", sdp=SDP))["stream"]


async def refused(request):
    with pytest.raises(RefusedError) as error:
        await request
    return error.value.code


async def test_a_published_stream_is_announced_to_the_others(gateway):
    """To those who are here, and to those who come."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = await published(ann)
        whose = {"stream": stream, "session": ann.session, "user": "ann"}
        codecs = {"audio": "opus", "video": "VP8"}
        described = whose | {"kind": "main", "audio": True, "video": True, "codecs": codecs, "small": False, "muted": []}
        assert await bob.expect("stream_added") == {"type": "stream_added"} | described
        async with gateway.joined("late") as late:
            assert late.joined["streams"] == [described]


async def test_a_stream_ends_with_unpublish_and_may_begin_again(gateway):
    """Each publication is a stream of its own."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        first = await published(ann)
        await bob.expect("stream_added")
        await ann.request("unpublish", stream=first)
        assert (await bob.expect("stream_removed"))["stream"] == first
        assert await published(ann) != first


async def test_the_codecs_of_the_gateway_are_told(gateway):
    """So that a client offers what will be forwarded."""
    async with gateway.joined("ann") as ann:
        assert ann.joined["codecs"] == ["opus", "VP8"]


async def test_a_screen_beside_the_camera(gateway):
    """A stream of each kind at a time, each begins and ends by itself, and both end with the session's media."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        camera = await published(ann)
        screen = (await ann.request("publish", kind="auxiliary", sdp=SDP))["stream"]
        assert [(await bob.expect("stream_added"))["kind"] for _ in range(2)] == ["main", "auxiliary"]
        assert await refused(ann.request("publish", kind="auxiliary", sdp=SDP)) == "invalid_state"
        await ann.request("unpublish", stream=camera)
        assert (await bob.expect("stream_removed"))["stream"] == camera
        async with gateway.joined("late") as late:
            assert [each["stream"] for each in late.joined["streams"]] == [screen]
        await published(ann)
        await ann.request("leave")
        stopped = {call[1] for call in gateway.media.calls if call[0] == "stop"}
        assert stopped >= {f"{ann.session}.1", f"{ann.session}.1.auxiliary"}
        assert gateway.media.published == {}


async def test_what_is_muted_is_told(gateway):
    """To those who are here, and to those who come; by its publisher only, and once."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = (await ann.request("publish", kind="main", sdp=SDP, muted=["video"]))["stream"]
        assert (await bob.expect("stream_added"))["muted"] == ["video"]
        await ann.request("mute", stream=stream, muted=["video", "audio"])
        whose = {"stream": stream, "session": ann.session, "user": "ann"}
        assert await bob.expect("stream_muted") == {"type": "stream_muted"} | whose | {"muted": ["audio", "video"]}
        await ann.request("mute", stream=stream, muted=["audio", "video"])
        await ann.request("mute", stream=stream, muted=[])
        assert (await bob.expect("stream_muted"))["muted"] == []
        assert await refused(bob.request("mute", stream=stream, muted=[])) == "unknown_stream"
        assert await refused(ann.request("mute", stream=stream, muted=["smell"])) == "bad_request"
        async with gateway.joined("late") as late:
            assert late.joined["streams"][0]["muted"] == []


async def test_the_small_picture_may_be_enough(gateway):
    """Of one stream and not of another; what is chosen for one stays when another is chosen."""
    async with gateway.joined("ann") as ann, gateway.joined("cyd") as cyd, gateway.joined("bob") as bob:
        first, second = await published(ann), await published(cyd)
        await bob.expect("stream_added")
        await bob.expect("stream_added")
        await bob.request("subscribe", stream=first, audio=True, video=True, size="small")
        await bob.request("subscribe", stream=second, audio=False, video=True)
        calls = [call[2:] for call in gateway.media.calls if call[:2] == ("subscribe", f"{bob.session}.1")]
        ((tracks, small), (all_tracks, still_small)) = calls
        assert small == still_small == tracks < all_tracks
        assert await refused(bob.request("subscribe", stream=first, audio=True, video=True, size="huge")) == "bad_request"


async def test_a_leavers_stream_is_removed_before_the_leaver(gateway, registry):
    """Also when the leaver is made to leave."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        await published(ann)
        await bob.expect("stream_added")
        await registry.leave(ann.session, LeaveReason.REMOVED)
        kinds = [(await bob.messages.get())["type"] for _ in range(2)]
        assert kinds == ["stream_removed", "peer_left"]


async def test_subscribing_leads_to_an_offer_that_names_its_lines(gateway):
    """By stream and kind; the answer goes to the engine."""
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = await published(ann)
        await bob.expect("stream_added")
        await bob.request("subscribe", stream=stream, audio=True, video=True)
        offer = await bob.expect("offer")
        assert offer["number"] == 1
        assert offer["tracks"] == [
            {"mid": "0", "stream": stream, "kind": "audio"},
            {"mid": "1", "stream": stream, "kind": "video"},
        ]
        await bob.send({"type": "answer", "number": 1, "sdp": "v=0 answer"})
        await bob.request("subscribe", stream=stream, audio=False, video=True)
        assert [track["kind"] for track in (await bob.expect("offer"))["tracks"]] == ["video"]
        await bob.request("unsubscribe", stream=stream)
        assert (await bob.expect("offer"))["tracks"] == []
        assert ("answer", f"{bob.session}.1", 1) in gateway.media.calls


async def test_an_answer_to_no_open_offer_ends_the_session(gateway):
    """A client that has lost count cannot be served rightly any more."""
    async with gateway.joined("ann") as ann:
        await ann.send({"type": "answer", "number": 7, "sdp": "v=0"})
        assert await ann.closed() == 4400


async def test_what_cannot_be_done_is_refused_by_name(gateway):
    """And the session goes on."""
    async with gateway.joined("ann") as ann, gateway.joined("quiet", role="audience", mode="live") as quiet:
        assert await refused(quiet.request("publish", kind="main", sdp=SDP)) == "no_permission"
        assert await refused(ann.request("publish", kind="main", sdp="nonsense")) == "unsupported_media"
        assert await refused(ann.request("publish", kind="screen", sdp=SDP)) == "bad_request"
        assert await refused(ann.request("unpublish", stream="none")) == "unknown_stream"
        assert await refused(ann.request("subscribe", stream="none", audio=True, video=True)) == "unknown_stream"
        stream = await published(ann)
        assert await refused(ann.request("publish", kind="main", sdp=SDP)) == "invalid_state"
        assert await refused(ann.request("subscribe", stream=stream, audio=True, video=True)) == "unknown_stream"
        await quiet.expect("stream_added")
        assert await refused(quiet.request("subscribe", stream=stream, audio=1, video=True)) == "bad_request"
        await quiet.request("subscribe", stream=stream, audio=True, video=False)


async def test_a_slow_browser_is_cut_off(gateway, registry):
    """What it does not read is not kept for it without bound: the socket ends, and the room goes on."""
    gateway.media.sdp = "v=0" + "x" * 60_000
    async with gateway.joined("ann") as ann, gateway.joined("bob") as bob:
        stream = await published(ann)
        await bob.expect("stream_added")
        bob.connection.transport.pause_reading()
        for number in range(100, 290):
            await bob.send({"type": "subscribe", "id": number, "stream": stream, "audio": True, "video": True})
        # Nothing that bob says matters any more; after the grace the session ends.
        assert (await registry.next(Verb.LEAVE))["session"] == bob.session
        bob.connection.transport.abort()


async def test_changes_of_streams_that_come_together_are_one():
    """Hundreds who mute at once do not fill an inbox; a later change is not lost."""
    inbox = Inbox()
    for _ in range(MAX_ITEMS + 1):
        assert inbox.put(StreamsChanged())
    assert await inbox.get() == StreamsChanged()
    assert inbox.put(Move())
    assert inbox.put(StreamsChanged())
    assert [await inbox.get(), await inbox.get()] == [Move(), StreamsChanged()]
    assert inbox.put(StreamsChanged())
    inbox.clear()
    assert inbox.put(StreamsChanged())
    assert await inbox.get() == StreamsChanged()


async def test_a_room_takes_so_many_streams(gateway_settings, registry):
    """Also when they come at the same time; a stream that ends makes room. The refusal is counted by the bound's name."""
    settings = gateway_settings.model_copy(update={"media_max_streams_per_room": 2})
    async with (
        gateway_running(settings) as gateway,
        gateway.joined("ann") as ann,
        gateway.joined("bob") as bob,
        gateway.joined("cyd") as cyd,
    ):
        first = await published(ann)
        outcomes = await asyncio.gather(*(published(client) for client in (bob, cyd)), return_exceptions=True)
        (error,) = [outcome for outcome in outcomes if isinstance(outcome, RefusedError)]
        assert error.code == "media_limit"
        await ann.request("unpublish", stream=first)
        await published(cyd if isinstance(outcomes[1], RefusedError) else bob)
        assert await refused(ann.request("publish", kind="main", sdp=SDP)) == "media_limit"
        counted = gateway.service.metrics.registry.get_sample_value
        assert counted("stagedoor_media_refused_total", {"limit": "room_streams"}) == 2


def test_a_place_is_taken_while_the_engine_is_asked():
    """Otherwise all who ask together would get one."""
    room = LocalRoom(RoomKey(1, 1))
    with room.place_for_stream(1), pytest.raises(MediaRefusedError, match="media_limit: room streams: at most 1"), room.place_for_stream(1):
        pass
    with room.place_for_stream(1):
        pass

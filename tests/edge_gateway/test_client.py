"""The asyncio client, before gateways that do not behave."""

import asyncio
import contextlib
import json

import pytest
from stagedoor_client import ClosedError, RefusedError, SignallingClient, signalling
from websockets.asyncio.server import serve

ROSTER = {"peers": [], "streams": []}
SESSION = {"app": 1400000001, "room": 5, "session": "9f", "token": "Zm9v"}


@contextlib.asynccontextmanager
async def talking(*lines):
    """A client, and a gateway that answers its first message with these lines."""

    async def answer(connection):
        async for _ in connection:
            for line in lines:
                await connection.send(line)

    async with serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with SignallingClient.open(f"http://127.0.0.1:{port}") as client:
            yield client


@pytest.mark.parametrize("line", ["{", "[]", "null", "{}", '{"type": "reply"}', '{"type": "reply", "id": 1}', b"\xff"])
async def test_what_is_no_message_ends_the_session_and_leaves_nobody_waiting(line):
    """The gateway is told so."""
    async with talking(line) as client, asyncio.timeout(5):
        with pytest.raises(ClosedError):
            await client.request("leave")
        assert await client.closed() == 1002
        assert await client.messages.get() is None


async def test_a_reply_that_nobody_waits_for_is_ignored():
    """To a request that was given up, or that never was."""
    async with talking('{"type": "reply", "id": 7, "result": {}}', '{"type": "reply", "id": 1, "result": {}}') as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.request("leave"), 0)
        async with asyncio.timeout(5):
            await client.send({"type": "any"})
            client._last_id = 0
            await client.request("leave")


async def test_a_request_that_cannot_be_sent_is_not_kept():
    """It has no reply to wait for."""
    async with talking() as client:
        await client.connection.close()
        with pytest.raises(ClosedError):
            await client.request("leave")
        assert client._replies == {}


@pytest.mark.parametrize(
    ("gateway", "address"),
    [
        ("http://edge:8080", "ws://edge:8080/v1/signal"),
        ("https://edge/", "wss://edge/v1/signal"),
        ("ws://http-host", "ws://http-host/v1/signal"),
        ("wss://edge", "wss://edge/v1/signal"),
    ],
)
async def test_the_address_differs_in_its_scheme_only(monkeypatch, gateway, address):
    """Whatever the host is called."""

    class ConnectedTo(Exception):  # noqa: N818 -- no error: it says where
        pass

    def connect(url):
        raise ConnectedTo(url)

    monkeypatch.setattr(signalling, "connect", connect)
    with pytest.raises(ConnectedTo, match=f"^{address}$"):
        async with SignallingClient.open(gateway):
            pass


@contextlib.asynccontextmanager
async def played(answer):
    """A client, and a gateway that replies to each request with what ``answer`` makes of it: its result or its error."""
    heard = []

    async def reply(connection):
        async for text in connection:
            heard.append(json.loads(text))
            await connection.send(json.dumps({"type": "reply", "id": heard[-1]["id"], **answer(heard[-1])}))

    async with serve(reply, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with SignallingClient.open(f"http://127.0.0.1:{port}") as client:
            yield client, heard


async def test_what_a_join_gives_is_kept_for_a_resume():
    """The session, its token, and which attachment this is."""
    joined = {"session": "9f", "token": "Zm9v", "attachment": 1, **ROSTER}
    async with played(lambda _: {"result": joined}) as (client, heard):
        assert await client.join(app=1400000001, user="ann", sig="eJyr", room=5) == joined
        assert (client.session, client.token, client.attachment) == ("9f", "Zm9v", 1)
        assert "yields" not in heard[0]
        await client.join(app=1400000001, user="ann", sig="eJyr", room=5, yields=True)
        assert heard[1]["yields"] is True


async def test_a_resume_shows_the_token_and_takes_the_session_on():
    """The reply has no token: the one shown stays."""
    resumed = {"session": "9f", "attachment": 2, "role": "anchor", "media": False, "published": None, **ROSTER}
    async with played(lambda _: {"result": resumed}) as (client, heard):
        assert await client.resume(**SESSION) == resumed
        assert heard == [{"type": "resume", "id": 1, "protocol": 1, **SESSION, "mode": "live"}]
        assert (client.session, client.token, client.attachment) == ("9f", "Zm9v", 2)


async def test_a_refused_resume_says_how_the_session_ended():
    """With the id of the cause and the words for the application."""
    banned = {"v4_reason": "banned", "v5_reason": "banned", "message": "client was banned"}
    error = {"code": "session_ended", "message": "it has ended", "extra": 0, "retry": False, "reason": "removed"}
    async with played(lambda _: {"error": {**error, "correlation": "c0", "client_banned": banned}}) as (client, _):
        with pytest.raises(RefusedError, match="session_ended") as refused:
            await client.resume(**SESSION)
    assert (refused.value.reason, refused.value.correlation, refused.value.client_banned) == ("removed", "c0", banned)


async def test_other_refusals_have_no_end_to_speak_of():
    """Their fields are absent."""
    async with played(lambda _: {"error": {"code": "unavailable", "message": "later", "extra": 0, "retry": True}}) as (client, _):
        with pytest.raises(RefusedError, match="unavailable") as refused:
            await client.resume(**SESSION)
    assert refused.value.retry
    assert (refused.value.reason, refused.value.correlation, refused.value.client_banned) == (None, None, None)


async def test_a_switch_of_the_role_is_a_request():
    """With nothing in its reply."""
    async with played(lambda _: {"result": {}}) as (client, heard):
        await client.switch_role("audience")
    assert heard == [{"type": "switch_role", "id": 1, "role": "audience"}]


async def test_a_socket_that_is_cut_has_no_close_frame():
    """Neither when it is cut nor when its block ends: the gateway sees a loss, not a leave."""
    ended = asyncio.get_running_loop().create_future()

    async def listen(connection):
        await connection.wait_closed()
        ended.set_result((connection.protocol.close_rcvd, connection.close_code))

    async with serve(listen, "127.0.0.1", 0) as server, asyncio.timeout(5):
        port = server.sockets[0].getsockname()[1]
        async with SignallingClient.open(f"ws://127.0.0.1:{port}") as client:
            client.cut()
        assert await client.closed() == 1006
        assert await ended == (None, 1006)

import asyncio
import json

from services.edge_gateway.protocol import CloseCode
from services.edge_gateway.socket import MAX_QUEUED_BYTES, Socket


class FakeWebSocket:
    """Takes what is sent; ``failure`` is raised instead. With ``room`` that much is taken at once, and the rest has to wait."""

    def __init__(self, failure=None, room=0):
        self.scope = {"extensions": {"stagedoor.write_at_once": {"write": self._write}}}
        self.room = room
        self.sent = []
        self.closed_with = None
        self.failure = failure

    def _write(self, text):
        if not self.room:
            return False
        self.room -= 1
        self.sent.append(json.loads(text))
        return True

    async def send_text(self, text):
        if self.failure is not None:
            raise self.failure
        self.sent.append(json.loads(text))

    async def close(self, code):
        self.closed_with = code


async def test_what_is_queued_is_sent_before_the_end():
    websocket = FakeWebSocket()
    socket = Socket(websocket)
    socket.send({"number": 1})
    socket.send({"text": "用户 😀"})
    socket.close(CloseCode.JOIN_REFUSED)
    assert await socket.write() == CloseCode.JOIN_REFUSED
    assert websocket.sent == [{"number": 1}, {"text": "用户 😀"}]
    assert websocket.closed_with == CloseCode.JOIN_REFUSED


async def test_the_queue_is_bounded_in_bytes():
    """Half as many characters, of three bytes each, are too many."""
    socket = Socket(websocket := FakeWebSocket())
    socket.send({"text": "用" * (MAX_QUEUED_BYTES // 2)})
    assert await asyncio.wait_for(socket.write(), 5) == CloseCode.SLOW
    assert (websocket.sent, websocket.closed_with) == ([], CloseCode.SLOW)


async def test_a_socket_that_cannot_be_written_to_is_lost():
    """And says so, whether or not anybody has closed it."""
    socket = Socket(FakeWebSocket(OSError("gone")))
    socket.send({})
    assert await asyncio.wait_for(socket.write(), 5) == CloseCode.LOST


async def test_what_can_be_written_at_once_is():
    """And what cannot waits; nothing overtakes it."""
    socket = Socket(websocket := FakeWebSocket(room=2))
    for number in range(3):
        socket.send({"number": number})
    assert websocket.sent == [{"number": 0}, {"number": 1}]
    websocket.room = 1
    socket.send({"number": 3})
    assert len(websocket.sent) == 2
    socket.close(CloseCode.ENDED)
    await socket.write()
    assert websocket.sent == [{"number": number} for number in range(4)]


async def test_where_nothing_can_be_written_at_once_all_of_it_waits():
    """The server may be another one."""
    websocket = FakeWebSocket(room=1)
    websocket.scope = {}
    socket = Socket(websocket)
    socket.send({})
    assert websocket.sent == []
    socket.close(CloseCode.ENDED)
    await socket.write()
    assert websocket.sent == [{}]


async def test_after_the_close_nothing_is_sent():
    socket = Socket(websocket := FakeWebSocket(room=1))
    socket.close(CloseCode.ENDED)
    socket.send({})
    await socket.write()
    assert websocket.sent == []

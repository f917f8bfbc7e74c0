"""What the control process and a media worker say to each other: frames of JSON on a socket pair. Both ends check what comes in.

A call is answered once, in the order of the calls; between two answers come offers and failures, in the order they happened. A
frame is four bytes of length, the most significant first, and so many bytes of one message. The control process hangs up when the
worker is to end.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Annotated, Generic, Literal, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.edge_gateway.media.interface import Kind, Limit, Offer, Published, RefusalCode, Said, Stopped, TransportFailed
from services.edge_gateway.media.measures import Measures
from services.edge_gateway.media.settings import MediaSettings

log = structlog.get_logger()

MAX_FRAME = 4 << 20
"""Bytes: a room of 20,000 that is stopped at once has less than half of it."""
MAX_UNSENT = 4 * MAX_FRAME
"""Bytes that may wait for the other end, which reads at once or not at all."""
_BEHIND = MAX_FRAME // 4
"""Bytes that wait for an end which does not keep up."""
_LENGTH = struct.Struct(">I")
T = TypeVar("T")


class BrokenChannelError(Exception):
    """The other end is gone, or does not speak this language; the text says which."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Start(_Message):
    """The first message: listen."""

    type: Literal["start"] = "start"
    settings: MediaSettings
    log_level: str


class AllowUntil(_Message):
    """Forward until that monotonic time, which is the same in all processes of a machine; None is for ever."""

    type: Literal["allow_until"] = "allow_until"
    deadline: float | None


class Ping(_Message):
    """Say something."""

    type: Literal["ping"] = "ping"


class Publish(_Message):
    """See :class:`~services.edge_gateway.media.interface.MediaEngine`, here and below."""

    call: Literal["publish"] = "publish"
    session: str
    offer: str


class Unpublish(_Message):
    """End a publication."""

    call: Literal["unpublish"] = "unpublish"
    session: str


class RestartPublication(_Message):
    """Look for a new way for a publication."""

    call: Literal["restart_publication"] = "restart_publication"
    session: str
    offer: str


class Subscribe(_Message):
    """Say what a session wants to receive."""

    call: Literal["subscribe"] = "subscribe"
    session: str
    tracks: frozenset[str]
    small: frozenset[str]


class Mute(_Message):
    """Forward these kinds of what a session publishes to nobody."""

    call: Literal["mute"] = "mute"
    session: str
    kinds: frozenset[Kind]


class RestartSubscription(_Message):
    """Look for a new way for what is received."""

    call: Literal["restart_subscription"] = "restart_subscription"
    session: str


class Unsubscribe(_Message):
    """End a subscribing peer connection."""

    call: Literal["unsubscribe"] = "unsubscribe"
    session: str


class Answer(_Message):
    """Take the answer to an offer."""

    call: Literal["answer"] = "answer"
    session: str
    number: int
    sdp: str


class Stop(_Message):
    """End all media of sessions."""

    call: Literal["stop"] = "stop"
    sessions: tuple[str, ...]
    notice: str | None = None


SessionCall = Publish | Unpublish | RestartPublication | Mute | Subscribe | RestartSubscription | Unsubscribe | Answer
Call = SessionCall | Stop


class Request(_Message):
    """A call, and the number that its reply will bear."""

    type: Literal["request"] = "request"
    number: int
    call: Annotated[Call, Field(discriminator="call")]


class Started(_Message):
    """The worker listens, on that UDP port."""

    type: Literal["started"] = "started"
    port: int


class NotStarted(_Message):
    """The settings cannot be had; the worker ends."""

    type: Literal["not_started"] = "not_started"
    reason: str


class Pong(_Message):
    """The answer to a ping, with what the worker has measured since it began."""

    type: Literal["pong"] = "pong"
    measures: Measures


class Offered(_Message):
    """The engine has an offer for a client."""

    type: Literal["offered"] = "offered"
    offer: Offer


class Failed(_Message):
    """A peer connection will never be."""

    type: Literal["failed"] = "failed"
    failure: TransportFailed


class Word(_Message):
    """A client has answered to a notice."""

    type: Literal["word"] = "word"
    said: Said


class Done(_Message):
    """The call took effect, and there is nothing more to say."""

    result: Literal["done"] = "done"


class Taken(_Message):
    """The publication was taken in."""

    result: Literal["taken"] = "taken"
    published: Published


class Restarted(_Message):
    """The answer to a publication's offer."""

    result: Literal["restarted"] = "restarted"
    sdp: str


class HasStopped(_Message):
    """Nothing of these sessions is sent any more."""

    result: Literal["stopped"] = "stopped"
    stopped: Stopped


class Refused(_Message):
    """The call changed nothing."""

    result: Literal["refused"] = "refused"
    code: RefusalCode
    message: str
    limit: Limit | None


class Broke(_Message):
    """The call met a bug, which the worker has logged: nobody knows what it changed."""

    result: Literal["broke"] = "broke"
    reason: str


Result = Done | Taken | Restarted | HasStopped | Refused | Broke


class Reply(_Message):
    """The answer to the request of that number."""

    type: Literal["reply"] = "reply"
    number: int
    result: Annotated[Result, Field(discriminator="result")]


ToWorker = Start | AllowUntil | Ping | Request
FromWorker = Started | NotStarted | Pong | Offered | Failed | Word | Reply
to_worker: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="type")])
from_worker: TypeAdapter[FromWorker] = TypeAdapter(Annotated[FromWorker, Field(discriminator="type")])


class Channel(Generic[T]):
    """One end of the socket pair. Made by :meth:`over`.

    Args:
        reader: of the socket.
        writer: of the socket.
        incoming: what may come in.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: TypeAdapter[T]) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = incoming

    @classmethod
    async def over(cls, sock: socket.socket, incoming: TypeAdapter[T]) -> "Channel[T]":
        """Speak over a connected socket, which is the channel's from now on."""
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        return cls(reader, writer, incoming)

    def send(self, message: BaseModel) -> None:
        """Send a message. To who does not read what is sent, the channel breaks; over one that is broken nothing goes."""
        if self._writer.is_closing():
            return
        data = message.model_dump_json().encode()
        unsent = self._writer.transport.get_write_buffer_size() + len(data)
        if len(data) > MAX_FRAME or unsent > MAX_UNSENT:
            log.error("media_channel_full", bytes=unsent)
            self._writer.transport.abort()
            return
        self._writer.write(_LENGTH.pack(len(data)) + data)

    @property
    def is_behind(self) -> bool:
        """Whether the other end has much to read already. Who could fill the channel waits until it has not."""
        return self._writer.transport.get_write_buffer_size() > _BEHIND

    async def receive(self) -> T:
        """Wait for the next message.

        Raises:
            BrokenChannelError: there is none any more.
        """
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_FRAME:
                raise BrokenChannelError(f"a frame of {length} bytes came")
            return self._incoming.validate_json(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise BrokenChannelError("the other end is gone") from error
        except ValidationError as error:
            # Without the input: SDP is not for the log.
            first = error.errors(include_input=False, include_url=False)[0]
            raise BrokenChannelError(f"what came is no message: {first['loc']}: {first['msg']}") from None

    async def close(self) -> None:
        """Send what is left, and hang up."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

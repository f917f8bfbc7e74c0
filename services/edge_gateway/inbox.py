"""A session's inbox: bounded, and whoever waits for an answer from in there gets one, whatever becomes of the session."""

import asyncio
from collections import deque

from services.edge_gateway import protocol
from services.edge_gateway.items import Item, SocketGone, StreamsChanged, Yield
from services.edge_gateway.media.interface import Offer

MAX_ITEMS = 4096


class Inbox:
    """What is posted to one session, in order, and taken by its task."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._held: list[Item] = []
        self._waiting: asyncio.Future[None] | None = None
        self._streams_changed = False
        """That is among the items."""

    @property
    def is_idle(self) -> bool:
        """Whether the session has dealt with everything, and waits: what is put in now is what it takes next."""
        return self._waiting is not None and not self._items

    def put(self, item: Item) -> bool:
        """Put something in; False where it is full.

        Changes of streams are looked at together: in a large room that mutes and publishes they would be most of what is in here.
        """
        changed = isinstance(item, StreamsChanged)
        if changed and self._streams_changed:
            return True
        if len(self._items) >= MAX_ITEMS:
            if isinstance(item, Yield):
                item.answer()
            return False
        self._items.append(item)
        self._streams_changed = self._streams_changed or changed
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        return True

    async def get(self) -> Item:
        """Wait for the next."""
        while not self._items:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        item = self._items.popleft()
        if isinstance(item, StreamsChanged):
            self._streams_changed = False
        return item

    def hold(self, item: Item) -> bool:
        """Keep something that was taken too early; False where there is too much of that."""
        self._held.append(item)
        return len(self._held) < MAX_ITEMS

    def release(self) -> list[Item]:
        """Take what was held, in order."""
        held, self._held = self._held, []
        return held

    async def acknowledged(self, seconds: float, *, only_by_socket: bool) -> bool | None:
        """Wait until the application was told; None where its browser does not say so in time.

        False where it never will: its socket is gone, and there is no other way.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    match await self.get():
                        case protocol.EndedAck():
                            return True
                        case SocketGone() if only_by_socket:
                            return False
                        case Yield() as later:
                            later.answer()
        except TimeoutError:
            return None

    def clear(self) -> Offer | None:
        """Throw everything away, for the session has ended here. Returns the engine's last offer."""
        offer: Offer | None = None
        self._streams_changed = False
        while self._items:
            match self._items.popleft():
                case Offer() as latest:
                    offer = latest
                case Yield() as later:
                    later.answer()
        return offer

"""A session's inbox: bounded, and whoever waits for an answer from in there gets one, whatever becomes of the session."""

import asyncio

from services.edge_gateway import protocol
from services.edge_gateway.items import Item, SocketGone, Yield
from services.edge_gateway.media.interface import Offer

MAX_ITEMS = 4096


class Inbox:
    """What is posted to one session, in order."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Item] = asyncio.Queue(MAX_ITEMS)

    def put(self, item: Item) -> bool:
        """Put something in; False where it is full."""
        try:
            self._items.put_nowait(item)
        except asyncio.QueueFull:
            if isinstance(item, Yield):
                item.answer()
            return False
        return True

    async def get(self) -> Item:
        """Wait for the next."""
        return await self._items.get()

    async def acknowledged(self, seconds: float) -> bool | None:
        """Wait until the application was told; False where its browser is gone, None where it does not say so in time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    match await self._items.get():
                        case protocol.EndedAck():
                            return True
                        case SocketGone():
                            return False
                        case Yield() as later:
                            later.answer()
        except TimeoutError:
            return None

    def clear(self) -> Offer | None:
        """Throw everything away, for the session has ended here. Returns the engine's last offer."""
        offer: Offer | None = None
        while not self._items.empty():
            match self._items.get_nowait():
                case Offer() as latest:
                    offer = latest
                case Yield() as later:
                    later.answer()
        return offer

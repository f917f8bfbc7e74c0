"""The client for asyncio: bots, load, tests. Today its signalling half; docs/protocol.md is what it speaks."""

from stagedoor_client.signalling import ClosedError, RefusedError, SignallingClient

__all__ = ["ClosedError", "RefusedError", "SignallingClient"]

"""The signalling client for asyncio: bots, load and tests."""

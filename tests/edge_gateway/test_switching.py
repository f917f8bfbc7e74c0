"""Switching the role: from anchor to audience, and back."""

import pytest
from stagedoor_client import RefusedError

from shared.contracts.commands import Verb

SDP = "v=0 offer"


async def published(client):
    return (await client.request("publish", kind="main", sdp=SDP))["stream"]


async def test_who_becomes_audience_publishes_no_more_and_is_not_seen(gateway, registry):
    """Its stream goes first, then the peer."""
    async with gateway.joined("bob", role="audience", mode="live") as bob, gateway.joined("ann", role="anchor", mode="live") as ann:
        await published(ann)
        answer, published_then = registry.switch_role, []

        async def look_first(command):
            published_then.append(dict(gateway.media.published))
            return await answer(command)

        registry.switch_role = look_first
        await ann.switch_role("audience")
        assert published_then == [{}]
        heard = [await bob.messages.get() for _ in range(4)]
        assert [message["type"] for message in heard] == ["peer_joined", "stream_added", "stream_removed", "peer_left"]
        assert heard[-1]["reason"] == "left"
        with pytest.raises(RefusedError, match="no_permission"):
            await published(ann)
        await ann.switch_role("anchor")
        assert (await bob.messages.get())["type"] == "peer_joined"
        await published(ann)
        command = await registry.next(Verb.SWITCH_ROLE)
        assert (command["attachment"], command["role"]) == (1, "audience")


async def test_in_mode_rtc_there_is_no_other_role(gateway):
    """Everybody is an anchor."""
    async with gateway.joined("ann") as ann:
        with pytest.raises(RefusedError, match="invalid_state"):
            await ann.switch_role("audience")

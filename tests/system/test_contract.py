"""The contract's table is what the running services do."""

import fnmatch

import httpx
import pytest

from shared.contracts.subjects import CONTRACT, Part


async def subscriptions(system):
    """What each service is subscribed to, by its own account to the server; inboxes and JetStream's own left out."""
    async with httpx.AsyncClient() as http:
        answer = (await http.get(system.nats.monitoring_url + "/connz", params={"subs": 1, "limit": 100})).json()
    return {
        connection["name"]: {s for s in connection.get("subscriptions_list", []) if not s.startswith(("_INBOX", "$"))}
        for connection in answer["connections"]
    }


@pytest.mark.parametrize("part", [Part.REGISTRY, Part.GATEWAY, Part.ADMIN])
async def test_a_service_is_subscribed_to_what_the_table_says_and_to_nothing_else(system, part):
    """So that allow lists and documents made from the table are true."""
    told = {channel.subscription() for channel in CONTRACT if part in channel.subscribers and not channel.on_demand}
    found = (await subscriptions(system))[part]
    for subject in found:
        assert any(fnmatch.fnmatchcase(subject, pattern) for pattern in told), f"{subject} is not in the table"
    for pattern in told:
        assert any(fnmatch.fnmatchcase(subject, pattern) for subject in found), f"nobody is subscribed to {pattern}"

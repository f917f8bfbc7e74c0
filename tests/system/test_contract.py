"""The contract's table, and the document made from it, are what the running services do."""

import fnmatch
import json
import re
from pathlib import Path

import httpx
import pytest

from shared.contracts.subjects import CONTRACT, Part

DOCUMENT = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def of_the_table(part):
    return {channel.subscription() for channel in CONTRACT if part in channel.subscribers and not channel.on_demand}


def of_the_document(part):
    document = json.loads(DOCUMENT.read_text())
    received = [
        operation["channel"]["$ref"].rpartition("/")[2]
        for operation in document["operations"].values()
        if operation["action"] == "receive" and {"name": part} in operation["tags"] and not operation.get("x-on-demand")
    ]
    return {re.sub(r"{\w+}", "*", document["channels"][name]["address"]) for name in received}


async def subscriptions(system):
    """What each service is subscribed to, by its own account to the server; inboxes and JetStream's own left out."""
    async with httpx.AsyncClient() as http:
        answer = (await http.get(system.nats.monitoring_url + "/connz", params={"subs": 1, "limit": 100})).json()
    return {
        connection["name"]: {s for s in connection.get("subscriptions_list", []) if not s.startswith(("_INBOX", "$"))}
        for connection in answer["connections"]
    }


@pytest.mark.parametrize("part", [Part.REGISTRY, Part.GATEWAY, Part.ADMIN])
async def test_a_service_is_subscribed_to_what_the_contract_says_and_to_nothing_else(system, part):
    """So that allow lists made from the table are true, and so is what people read."""
    found = (await subscriptions(system))[part]
    for told in (of_the_table(part), of_the_document(part)):
        for subject in found:
            assert any(fnmatch.fnmatchcase(subject, pattern) for pattern in told), f"{subject} is not in {told}"
        for pattern in told:
            assert any(fnmatch.fnmatchcase(subject, pattern) for subject in found), f"nobody is subscribed to {pattern}"

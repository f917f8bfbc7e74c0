"""The contract's table as an AsyncAPI document."""

import json
import re
from pathlib import Path

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

from shared.contracts import asyncapi
from shared.contracts.commands import Join, Verb
from shared.contracts.subjects import CONTRACT, Part

STORED = Path(__file__).parents[3] / "docs" / "asyncapi.json"


@pytest.fixture(scope="module")
def document():
    return asyncapi.document()


def objects(value):
    """Every object of the document, however deep."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from objects(each)


def resolve(document, reference):
    """Follow a reference inside the document, as JSON pointers are followed."""
    found = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_stored_document_is_a_fresh_one():
    """`make docs` writes it."""
    assert STORED.read_text() == asyncapi.text()


def test_it_is_asyncapi_3(document):
    """By the models with which FastStream writes its own."""
    read = ApplicationSchema.model_validate(document)
    assert (read.asyncapi, read.defaultContentType) == ("3.0.0", "application/json")
    assert {operation.action.value for operation in read.operations.values()} == {"send", "receive"}
    assert json.loads(json.dumps(document)) == document


def test_every_reference_leads_somewhere(document):
    for reference in (each["$ref"] for each in objects(document) if "$ref" in each):
        assert isinstance(resolve(document, reference), dict), reference


def test_nothing_is_said_that_asyncapi_understands_otherwise(document):
    """Its discriminator is a text; and schemas live in one place."""
    assert not [each for each in objects(document) if {"discriminator", "$defs"} & set(each)]


def test_every_channel_has_its_messages_and_every_token_its_meaning(document):
    for channel in document["channels"].values():
        assert channel["messages"]
        assert channel["description"]
        tokens = re.findall(r"{(\w+)}", channel["address"] or "")
        assert sorted(tokens) == sorted(channel.get("parameters", {}))
        assert all(parameter["description"] for parameter in channel.get("parameters", {}).values())


def test_operations_use_messages_of_their_channel(document):
    """Those of the reply are the reply channel's, whose address only the request knows."""
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
        if reply := operation.get("reply"):
            assert resolve(document, reply["channel"]["$ref"])["address"] is None
            assert all(message["$ref"].startswith(f"{reply['channel']['$ref']}/messages/") for message in reply["messages"])


@pytest.mark.parametrize("part", list(Part))
@pytest.mark.parametrize("action", ["send", "receive"])
def test_each_part_does_what_the_table_says(document, part, action):
    """No more, and no less."""
    done = {
        (resolve(document, operation["channel"]["$ref"])["address"], operation.get("x-on-demand", False))
        for operation in document["operations"].values()
        if operation["action"] == action and {"name": part} in operation["tags"]
    }
    if action == "send":
        assert done == {(channel.pattern, False) for channel in CONTRACT if part in channel.publishers}
    else:
        assert done == {(channel.pattern, channel.on_demand) for channel in CONTRACT if part in channel.subscribers}


def test_a_request_has_its_answers(document):
    """As many as the table has."""
    replies = document["operations"]["edge_gateway.send.commands"]["reply"]["messages"]
    assert "#/channels/commands.reply/messages/Refusal" in [reply["$ref"] for reply in replies]
    with_reply = {name for name, operation in document["operations"].items() if "reply" in operation}
    requests = {channel.name for channel in CONTRACT if channel.reply is not None}
    assert {name.rpartition(".")[2] for name in with_reply} == requests


def test_a_message_is_described_by_its_docstrings(document):
    """In plain words, and with the schema that the services check."""
    message = document["components"]["messages"]["Join"]
    assert message["summary"] == (Join.__doc__ or "").partition("\n")[0]
    schema = resolve(document, message["payload"]["$ref"])
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) <= set(schema["properties"]) == set(Join.model_fields)
    assert schema["properties"]["expires_at"]["description"].startswith("No owner decides the command after this")
    assert ":class:" not in asyncapi.text()


def test_a_verb_is_one_of_the_channels_commands(document):
    verbs = {
        name: channel["parameters"]["verb"]["enum"]
        for name, channel in document["channels"].items()
        if "verb" in channel.get("parameters", {})
    }
    assert verbs["door_commands"] == ["remove", "dismiss"]
    assert "epoch" not in verbs["commands"]
    assert verbs["events"] == list(Verb)

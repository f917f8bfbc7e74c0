"""The contract as an AsyncAPI 3.0 document, made from its table: ``python -m shared.contracts.asyncapi`` prints it.

AsyncAPI describes one application. Here it is the whole of them: an operation is named after who does it, and has it as a tag.
"""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from shared.contracts.commands import RoomCommand, Verb
from shared.contracts.messages import Message
from shared.contracts.subjects import CONTRACT, PREFIX, Channel, Part

_Object = dict[str, Any]

_INFO = {
    "title": "Stagedoor on the bus",
    "version": PREFIX.rpartition(".")[2],
    "description": "What the services of Stagedoor, operators and other services say to each other over NATS. Bodies are JSON in UTF-8; "
    "a field that is not set is left out, a field that is not known is refused. An app is a number; a room is `n` and its number, or `s` "
    "and its string; everything but `[A-Za-z0-9_-]` is written `=HH`, the bytes of its UTF-8. Messages that concern no single room have "
    "`_` as app and room.",
    "license": {"name": "Apache-2.0"},
}
_SERVERS = {
    "nats": {"host": "127.0.0.1:4222", "pathname": "", "protocol": "nats", "description": "nats-server 2.12 or later, with JetStream."}
}
_PARAMETERS = {
    "partition": "Of the room: a number from 0.",
    "app": "The sdkAppId.",
    "room": "`n123` for number 123, `s` and the string for a string.",
    "verb": "What is asked for, or was done.",
    "command": "The id of the command that the receipt is about.",
    "gateway": "One boot of a gateway: its name and a random id.",
    "replica": "One run of a registry.",
    "seq": "Of the last message of the event stream that the snapshot covers.",
    "part": "A number from 1, or `head`.",
}
_ROLE = re.compile(r":\w+:`(?:[\w.]*\.)?(\w+)`")
"""A reference in a docstring, which has no meaning outside the source."""


class _Schemas(GenerateJsonSchema):
    """JSON schemas as AsyncAPI has them: its ``discriminator`` is another thing than pydantic's, and `kind` tells as much."""

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Describe a union without naming the field that tells its members apart."""
        json_schema = super().tagged_union_schema(schema)
        json_schema.pop("discriminator", None)
        return json_schema

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 -- pydantic's
        """Leave out titles that only repeat the field's name."""
        return False


def document() -> _Object:
    """Make the document."""
    models = sorted({model for channel in CONTRACT for model in (*channel.models, *_replies(channel))}, key=lambda model: model.__name__)
    channels: _Object = {}
    operations: _Object = {}
    for channel in CONTRACT:
        channels[channel.name] = _channel(channel)
        if channel.reply is not None:
            channels[_reply_name(channel)] = _reply_channel(channel)
        operations |= {f"{part}.receive.{channel.name}": _operation(channel, part, "receive") for part in channel.subscribers}
        operations |= {f"{part}.send.{channel.name}": _operation(channel, part, "send") for part in channel.publishers}
    _, schemas = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}", schema_generator=_Schemas
    )
    made = {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": "application/json",
        "servers": _SERVERS,
        "channels": channels,
        "operations": operations,
        "components": {"messages": {model.__name__: _message(model) for model in models}, "schemas": schemas["$defs"]},
    }
    return _Object(_plain(made))


def text() -> str:
    """Return the document as it is stored."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(channel: Channel) -> _Object:
    stored = f" Stored in the stream {channel.stream}." if channel.stream else ""
    return {
        "address": channel.pattern,
        "description": channel.about + stored,
        "parameters": {name: _parameter(name, channel) for name in re.findall(r"{(\w+)}", channel.pattern)},
        "messages": _references(channel.models),
    }


def _reply_channel(channel: Channel) -> _Object:
    return {
        "address": None,
        "description": f"Answers of `{channel.name}`, to the request's reply subject: an inbox of who asks.",
        "messages": _references(_replies(channel)),
    }


def _parameter(name: str, channel: Channel) -> _Object:
    described: _Object = {"description": _PARAMETERS[name]}
    if name == "verb":
        asked = [model.verb for model in channel.models if issubclass(model, RoomCommand)]
        described["enum"] = [str(verb) for verb in asked or Verb]
    return described


def _operation(channel: Channel, part: Part, action: str) -> _Object:
    operation: _Object = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "tags": [{"name": str(part)}],
        "messages": _subset(channel.name, channel.only.get(part, channel.models) if action == "send" else channel.models),
    }
    if action == "receive" and channel.on_demand:
        operation["description"] = "For the length of a request only."
        operation["x-on-demand"] = True
    if channel.reply is not None:
        name = _reply_name(channel)
        operation["reply"] = {"channel": {"$ref": f"#/channels/{name}"}, "messages": _subset(name, _replies(channel))}
    return operation


def _message(model: type[Message]) -> _Object:
    message: _Object = {
        "name": model.__name__,
        "title": model.__name__,
        "summary": (model.__doc__ or "").partition("\n")[0],
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
    }
    if "correlation" in model.model_fields:
        message["correlationId"] = {"location": "$message.payload#/correlation"}
    return message


def _replies(channel: Channel) -> tuple[type[Message], ...]:
    if channel.reply is None:
        return ()
    return channel.reply if isinstance(channel.reply, tuple) else (channel.reply,)


def _reply_name(channel: Channel) -> str:
    return f"{channel.name}.reply"


def _references(models: Iterable[type[Message]]) -> _Object:
    return {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in models}


def _subset(channel: str, models: Iterable[type[Message]]) -> list[_Object]:
    return [{"$ref": f"#/channels/{channel}/messages/{model.__name__}"} for model in models]


def _plain(value: Any, name: str = "") -> Any:
    """Take the marks of docstrings out of all texts that people read."""
    if isinstance(value, dict):
        return {name: _plain(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str) and name in ("description", "summary"):
        return _ROLE.sub(r"`\1`", value).replace("``", "`")
    return value


if __name__ == "__main__":
    sys.stdout.write(text())

"""Every subject is built and read in this file.

    stagedoor.v1.cmd.<partition|_>.<app>.<room>.<verb>   request/reply: a command; with `_` any replica passes it on
    stagedoor.v1.evt.<partition>.<app>.<room>.<verb>     the stream: what is committed
    stagedoor.v1.pub.<partition>.<app>.<room>.<verb>     its republish, for gateways and whoever listens
    stagedoor.v1.qry.<partition>.rooms                   request/reply: what rooms there are
    stagedoor.v1.rcpt.<app>.<command>.<gateway>          receipts: a stream of their own, for a day
    stagedoor.v1.lease.<replica>                         a registry is there; silence for the lease's length says it is not

Messages that concern no single room have `_` as app and room.
"""

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from shared.contracts import commands, facts, leases, receipts, replies
from shared.contracts.commands import Verb
from shared.contracts.ids import InvalidIdError, RoomKey, parse_app_token, parse_room_token, room_token
from shared.contracts.messages import Message

PREFIX: Final = "stagedoor.v1"
STREAM: Final = "STAGEDOOR_EVT_V1"
RECEIPT_STREAM: Final = "STAGEDOOR_RCPT_V1"
PARTITIONS_METADATA: Final = "stagedoor.partitions"
"""The key in the stream's metadata that says how many partitions there are."""
DOOR: Final = "_"
NOWHERE: Final = "_"


class Part(StrEnum):
    """Who speaks on the bus."""

    REGISTRY = "room_registry"
    GATEWAY = "edge_gateway"
    ADMIN = "admin_api"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Channel:
    """One row of the contract: a family of subjects and who may do what on it."""

    pattern: str
    """The subject, with a name in braces for each token that varies."""
    model: type[Message] | tuple[type[Message], ...]
    reply: type[Message] | tuple[type[Message], ...] | None
    publishers: tuple[Part, ...]
    subscribers: tuple[Part, ...]
    on_demand: bool = False
    """Subscribed to for the length of a request only."""

    def subscription(self, **tokens: object) -> str:
        """Build the subject to subscribe to; a token that is not given becomes a wildcard."""
        names = [token[1:-1] for token in self.pattern.split(".") if token.startswith("{")]
        return self.pattern.format(**{name: tokens.get(name, "*") for name in names})


_REPLIES = (replies.JoinReply, replies.LeaveReply, replies.RemoveReply, replies.DismissReply, replies.AnnounceReply, replies.Refusal)
_OPERATOR_COMMANDS = (commands.Remove, commands.Dismiss)
_GATEWAY_COMMANDS = (commands.Join, commands.Leave, commands.Announce)

COMMANDS: Final = Channel(
    pattern=f"{PREFIX}.cmd.{{partition}}.{{app}}.{{room}}.{{verb}}",
    model=_GATEWAY_COMMANDS + _OPERATOR_COMMANDS,
    reply=_REPLIES,
    publishers=(Part.GATEWAY, Part.ADMIN, Part.OPERATOR, Part.REGISTRY),
    subscribers=(Part.REGISTRY,),
)
DOOR_COMMANDS: Final = Channel(
    pattern=f"{PREFIX}.cmd.{DOOR}.{{app}}.{{room}}.{{verb}}",
    model=_OPERATOR_COMMANDS,
    reply=_REPLIES,
    publishers=(Part.ADMIN, Part.OPERATOR),
    subscribers=(Part.REGISTRY,),
)
STREAM_EVENTS: Final = Channel(
    pattern=f"{PREFIX}.evt.{{partition}}.{{app}}.{{room}}.{{verb}}",
    model=facts.Committed,
    reply=None,
    publishers=(Part.REGISTRY,),
    subscribers=(),
)
PUBLISHED_EVENTS: Final = Channel(
    pattern=f"{PREFIX}.pub.{{partition}}.{{app}}.{{room}}.{{verb}}",
    model=facts.Committed,
    reply=None,
    publishers=(),
    subscribers=(Part.REGISTRY, Part.GATEWAY, Part.OPERATOR),
)
ROOMS: Final = Channel(
    pattern=f"{PREFIX}.qry.{{partition}}.rooms",
    model=replies.RoomsQuery,
    reply=replies.RoomsReply,
    publishers=(Part.OPERATOR, Part.ADMIN),
    subscribers=(Part.REGISTRY,),
)
LEASES: Final = Channel(
    pattern=f"{PREFIX}.lease.{{replica}}",
    model=leases.Lease,
    reply=None,
    publishers=(Part.REGISTRY,),
    subscribers=(Part.REGISTRY,),
)
RECEIPTS: Final = Channel(
    pattern=f"{PREFIX}.rcpt.{{app}}.{{command}}.{{gateway}}",
    model=receipts.Receipt,
    reply=None,
    publishers=(Part.GATEWAY,),
    subscribers=(Part.ADMIN, Part.OPERATOR),
    on_demand=True,
)
CONTRACT: Final = (COMMANDS, DOOR_COMMANDS, STREAM_EVENTS, PUBLISHED_EVENTS, ROOMS, LEASES, RECEIPTS)

REPLY_PREFIX: Final = "_INBOX"
"""Where answers go. A service answers nowhere else: whoever asks could make it write where he must not."""

REPUBLISH_SOURCE: Final = f"{PREFIX}.evt.>"
REPUBLISH_DESTINATION: Final = f"{PREFIX}.pub.>"


class Address(NamedTuple):
    """What a command's or an event's subject says."""

    partition: str
    key: RoomKey | None
    """None for messages that concern no single room."""
    verb: Verb


def partition_of(key: RoomKey, partitions: int) -> int:
    """Return the partition of a room: CRC-32 of its two tokens, modulo the number of partitions."""
    return zlib.crc32(f"{key.app}.{room_token(key.room)}".encode()) % partitions


def _address(kind: str, partition: int | str, key: RoomKey | None, verb: Verb) -> str:
    place = f"{NOWHERE}.{NOWHERE}" if key is None else f"{key.app}.{room_token(key.room)}"
    return f"{PREFIX}.{kind}.{partition}.{place}.{verb}"


def command_subject(partition: int | str, key: RoomKey | None, verb: Verb) -> str:
    """Build the subject that a command is sent to; ``DOOR`` as partition where the sender computes no hash."""
    return _address("cmd", partition, key, verb)


def event_subject(partition: int, key: RoomKey | None, verb: Verb) -> str:
    """Build the subject that a committed message is stored under."""
    return _address("evt", partition, key, verb)


def receipt_subject(app: int, command: str, gateway: str) -> str:
    """Build the subject of a gateway's receipts for a command."""
    return RECEIPTS.pattern.format(app=app, command=command, gateway=gateway)


def partition_events(partition: int) -> str:
    """Build the wildcard over one partition's committed messages: what the fence guards."""
    return f"{PREFIX}.evt.{partition}.>"


def parse_subject(subject: str) -> Address:
    """Read a subject of ``cmd``, ``evt`` or ``pub``.

    Raises:
        InvalidIdError: it is none of them, or a token is not what it should be.
    """
    tokens = subject.split(".")
    if len(tokens) != 7 or ".".join(tokens[:2]) != PREFIX or tokens[2] not in ("cmd", "evt", "pub"):
        raise InvalidIdError("not a subject of commands or events")
    _, _, _, partition, app, room, verb = tokens
    try:
        known = Verb(verb)
    except ValueError as error:
        raise InvalidIdError(f"unknown verb {verb!r}") from error
    if app == NOWHERE and room == NOWHERE:
        return Address(partition, None, known)
    return Address(partition, RoomKey(parse_app_token(app), parse_room_token(room)), known)

"""Every subject is built and read in this file.

    stagedoor.v1.cmd.<partition|_>.<app>.<room>.<verb>   request/reply: a command; with `_` any replica passes it on
    stagedoor.v1.evt.<partition>.<app>.<room>.<verb>     the stream: what is committed
    stagedoor.v1.pub.<partition>.<app>.<room>.<verb>     its republish, for gateways and whoever listens
    stagedoor.v1.qry.<partition>.rooms                   request/reply: what rooms there are
    stagedoor.v1.qry._.answer                            request/reply: what a command was answered
    stagedoor.v1.rcpt.<app>.<command>.<gateway>          receipts: a stream of their own, for a day
    stagedoor.v1.gw.<gateway>                            leases of gateways: a stream of their own, the last one of each
    stagedoor.v1.snap.<partition>.<seq>.<part>           snapshots: a stream of their own
    stagedoor.v1.lease.<replica>                         a registry is there; silence for the lease's length says it is not

Messages that concern no single room have `_` as app and room.
"""

import functools
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from shared.contracts import commands, facts, leases, receipts, replies, snapshots
from shared.contracts.commands import RoomCommand, Verb
from shared.contracts.ids import InvalidIdError, RoomKey, parse_app_token, parse_room_token, room_token
from shared.contracts.messages import Message

PREFIX: Final = "stagedoor.v1"
STREAM: Final = "STAGEDOOR_EVT_V1"
RECEIPT_STREAM: Final = "STAGEDOOR_RCPT_V1"
GATEWAY_STREAM: Final = "STAGEDOOR_GW_V1"
SNAPSHOT_STREAM: Final = "STAGEDOOR_SNAP_V1"
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

    name: str
    about: str
    pattern: str
    """The subject, with a name in braces for each token that varies."""
    model: type[Message] | tuple[type[Message], ...]
    reply: type[Message] | tuple[type[Message], ...] | None
    publishers: tuple[Part, ...]
    subscribers: tuple[Part, ...]
    on_demand: bool = False
    """Subscribed to for the length of a request only."""
    stream: str | None = None
    """The JetStream stream that stores it."""
    only: Mapping[Part, tuple[type[RoomCommand], ...]] = field(default_factory=dict)
    """Of publishers that may not publish all of it: what they may."""

    @property
    def models(self) -> tuple[type[Message], ...]:
        """All that is published here."""
        return self.model if isinstance(self.model, tuple) else (self.model,)

    def publications(self, part: Part) -> tuple[str, ...]:
        """Build the subjects that a part may publish on, with wildcards; one a verb where it may not use all of them."""
        if part in self.only:
            return tuple(self.subscription(verb=model.verb) for model in self.only[part])
        return (self.subscription(),) if part in self.publishers else ()

    def subscription(self, **tokens: object) -> str:
        """Build the subject to subscribe to; a token that is not given becomes a wildcard."""
        names = [token[1:-1] for token in self.pattern.split(".") if token.startswith("{")]
        return self.pattern.format(**{name: tokens.get(name, "*") for name in names})


_REPLIES = (
    replies.JoinReply,
    replies.ResumeReply,
    replies.LeaveReply,
    replies.SwitchRoleReply,
    replies.DetachReply,
    replies.RemoveReply,
    replies.DismissReply,
    replies.Refusal,
)
_OPERATOR_COMMANDS = (commands.Remove, commands.Dismiss)
_GATEWAY_COMMANDS = (commands.Join, commands.Resume, commands.Leave, commands.SwitchRole, commands.Detach)

COMMANDS: Final = Channel(
    name="commands",
    about="A command on one room, straight to the owner of its partition.",
    pattern=f"{PREFIX}.cmd.{{partition}}.{{app}}.{{room}}.{{verb}}",
    model=_GATEWAY_COMMANDS + _OPERATOR_COMMANDS,
    reply=_REPLIES,
    publishers=(Part.GATEWAY, Part.ADMIN, Part.OPERATOR, Part.REGISTRY),
    subscribers=(Part.REGISTRY,),
    only={
        Part.GATEWAY: _GATEWAY_COMMANDS,
        Part.ADMIN: _OPERATOR_COMMANDS,
        Part.OPERATOR: _OPERATOR_COMMANDS,
        Part.REGISTRY: _OPERATOR_COMMANDS,
    },
)
DOOR_COMMANDS: Final = Channel(
    name="door_commands",
    about="The same from those who compute no hash: any replica passes it on, and the owner answers.",
    pattern=f"{PREFIX}.cmd.{DOOR}.{{app}}.{{room}}.{{verb}}",
    model=_OPERATOR_COMMANDS,
    reply=_REPLIES,
    publishers=(Part.ADMIN, Part.OPERATOR),
    subscribers=(Part.REGISTRY,),
    only={Part.ADMIN: _OPERATOR_COMMANDS, Part.OPERATOR: _OPERATOR_COMMANDS},
)
STREAM_EVENTS: Final = Channel(
    name="events",
    about="What is committed: a message for a command, with all its facts in order, or one for a group of commands.",
    pattern=f"{PREFIX}.evt.{{partition}}.{{app}}.{{room}}.{{verb}}",
    model=(facts.Committed, facts.Group),
    reply=None,
    publishers=(Part.REGISTRY,),
    subscribers=(),
    stream=STREAM,
)
PUBLISHED_EVENTS: Final = Channel(
    name="published_events",
    about="The same, republished by the server once it is stored. Nats-Sequence rises by 1: a jump is a loss, which the stream heals.",
    pattern=f"{PREFIX}.pub.{{partition}}.{{app}}.{{room}}.{{verb}}",
    model=(facts.Committed, facts.Group),
    reply=None,
    publishers=(),
    subscribers=(Part.REGISTRY, Part.GATEWAY, Part.OPERATOR),
)
ROOMS: Final = Channel(
    name="rooms",
    about="What rooms a partition has. Any replica answers.",
    pattern=f"{PREFIX}.qry.{{partition}}.rooms",
    model=replies.RoomsQuery,
    reply=replies.RoomsReply,
    publishers=(Part.OPERATOR, Part.ADMIN),
    subscribers=(Part.REGISTRY,),
)
ANSWERS: Final = Channel(
    name="answers",
    about="What a removal or a dismissal was answered, for 15 minutes. Any replica answers.",
    pattern=f"{PREFIX}.qry.{DOOR}.answer",
    model=replies.AnswerQuery,
    reply=replies.AnswerReply,
    publishers=(Part.OPERATOR, Part.ADMIN),
    subscribers=(Part.REGISTRY,),
)
LEASES: Final = Channel(
    name="leases",
    about="A registry is there. Silence for the length of the lease says that it is not.",
    pattern=f"{PREFIX}.lease.{{replica}}",
    model=leases.Lease,
    reply=None,
    publishers=(Part.REGISTRY,),
    subscribers=(Part.REGISTRY,),
)
RECEIPTS: Final = Channel(
    name="receipts",
    about="What gateways have done about the endings of a command; kept for a day.",
    pattern=f"{PREFIX}.rcpt.{{app}}.{{command}}.{{gateway}}",
    model=receipts.Receipt,
    reply=None,
    publishers=(Part.GATEWAY,),
    subscribers=(Part.ADMIN, Part.OPERATOR),
    on_demand=True,
    stream=RECEIPT_STREAM,
)
GATEWAY_LEASES: Final = Channel(
    name="gateway_leases",
    about="A gateway is there. Owners of partitions watch the revisions, read from the leader, with their own clock.",
    pattern=f"{PREFIX}.gw.{{gateway}}",
    model=leases.GatewayLease,
    reply=None,
    publishers=(Part.GATEWAY,),
    subscribers=(),
    stream=GATEWAY_STREAM,
)
SNAPSHOTS: Final = Channel(
    name="snapshots",
    about="Snapshots of partitions: parts of bytes, and a head that is written last.",
    pattern=f"{PREFIX}.snap.{{partition}}.{{seq}}.{{part}}",
    model=(snapshots.SnapshotHead, snapshots.EventsDeleted),
    reply=None,
    publishers=(Part.REGISTRY,),
    subscribers=(),
    stream=SNAPSHOT_STREAM,
)
CONTRACT: Final = (
    COMMANDS,
    DOOR_COMMANDS,
    STREAM_EVENTS,
    PUBLISHED_EVENTS,
    ROOMS,
    ANSWERS,
    LEASES,
    RECEIPTS,
    GATEWAY_LEASES,
    SNAPSHOTS,
)

REPLY_PREFIX: Final = "_INBOX"
"""Where answers go. A service answers nowhere else: whoever asks could make it write where he must not."""

SERVER_REPLY_PREFIX: Final = "_R_"
"""What the server makes of an inbox in another account. No client may name such a one by itself."""

REPUBLISH_SOURCE: Final = f"{PREFIX}.evt.>"
REPUBLISH_DESTINATION: Final = f"{PREFIX}.pub.>"


_ROOM_IN_TEXT: Final = re.compile(rf"({re.escape(PREFIX)}\.(?:cmd|evt|pub)\.[^.\s]+\.[^.\s]+\.)[^.\s]+")


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


def inbox_prefix(part: str) -> str:
    """Build what the inboxes of one part begin with: the others' are none of its business."""
    return f"{REPLY_PREFIX}.{part}"


def event_subject(partition: int, key: RoomKey | None, verb: Verb) -> str:
    """Build the subject that a committed message is stored under."""
    return _address("evt", partition, key, verb)


def receipt_subject(app: int, command: str, gateway: str) -> str:
    """Build the subject of a gateway's receipts for a command."""
    return RECEIPTS.pattern.format(app=app, command=command, gateway=gateway)


def snapshot_subject(partition: int, seq: int | str, part: int | str) -> str:
    """Build the subject of one part of a snapshot: a number from 1, or ``head``; ``*`` stands for any."""
    return SNAPSHOTS.pattern.format(partition=partition, seq=seq, part=part)


def partition_events(partition: int) -> str:
    """Build the wildcard over one partition's committed messages: what the fence guards."""
    return f"{PREFIX}.evt.{partition}.>"


def partition_in(subject: str) -> int:
    """Read the partition of a subject of ``evt`` or ``pub``, and nothing else of it.

    Raises:
        ValueError, LookupError: there is none.
    """
    return int(subject.split(".")[3])


def without_rooms(text: str) -> str:
    """Leave the rooms out of the subjects in a text of somebody else's, such as an error of the bus."""
    return _ROOM_IN_TEXT.sub(r"\1...", text)


def parse_subject(subject: str) -> Address:
    """Read a subject of ``cmd``, ``evt`` or ``pub``.

    Raises:
        InvalidIdError: it is none of them, or a token is not what it should be.
    """
    tokens = subject.split(".")
    if len(tokens) != 7 or not subject.startswith(f"{PREFIX}.") or tokens[2] not in ("cmd", "evt", "pub"):
        raise InvalidIdError("not a subject of commands or events")
    _, _, _, partition, app, room, verb = tokens
    try:
        known = Verb(verb)
    except ValueError as error:
        raise InvalidIdError("unknown verb") from error
    if app == NOWHERE and room == NOWHERE:
        return Address(partition, None, known)
    return Address(partition, _place(app, room), known)


@functools.lru_cache(maxsize=4096)
def _place(app: str, room: str) -> RoomKey:
    """Read the two tokens of a room. What is talked about now is talked about again in a moment; what is refused is not kept."""
    return RoomKey(parse_app_token(app), parse_room_token(room))

"""Who may publish and hear what, as accounts of a nats-server: ``python -m shared.contracts.nats_accounts`` prints them.

Made from the contract's table. Allow lists alone would not do: JetStream answers wherever a request says, so that whoever may have a
message of one stream read to him could have it written into another, under any subject (docs/adr/0018). So each part has an account of
its own, in which there is nothing but what the registry's account exports to it; a reply from there goes back to who asked, whatever
subject he named. The allow lists say the same again, so that what is forbidden is denied in words.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from shared.contracts.subjects import CONTRACT, GATEWAY_STREAM, RECEIPT_STREAM, REPLY_PREFIX, SNAPSHOT_STREAM, STREAM, Part, inbox_prefix

_HOLDER: Final = Part.REGISTRY
"""Whose account has the streams."""
_STREAMS: Final = (STREAM, RECEIPT_STREAM, GATEWAY_STREAM, SNAPSHOT_STREAM)
_API: Final = "$JS.API"
_JETSTREAM: Final[Mapping[Part, tuple[str, ...]]] = {
    Part.REGISTRY: (
        *(f"STREAM.{verb}.{stream}" for stream in _STREAMS for verb in ("CREATE", "INFO")),
        *(f"STREAM.MSG.GET.{stream}" for stream in (STREAM, GATEWAY_STREAM, SNAPSHOT_STREAM)),
        *(f"STREAM.PURGE.{stream}" for stream in (STREAM, SNAPSHOT_STREAM)),
        *(f"DIRECT.GET.{stream}" for stream in (STREAM, SNAPSHOT_STREAM)),
    ),
    Part.GATEWAY: (f"STREAM.INFO.{STREAM}", f"DIRECT.GET.{STREAM}"),
    Part.ADMIN: (f"STREAM.INFO.{STREAM}", f"DIRECT.GET.{RECEIPT_STREAM}"),
    Part.OPERATOR: (f"STREAM.INFO.{STREAM}", f"DIRECT.GET.{STREAM}", f"DIRECT.GET.{RECEIPT_STREAM}"),
}
"""What each asks of JetStream, beside publishing."""
_READ_SECONDS: Final = 10
"""How long the server expects more of an answer that has many messages."""
_ANSWER_SECONDS: Final = 60
_HEAD = """\
# Made from the contract by `make docs`. keys.conf, which `stagedoor nats-keys` writes, has the public keys of each account's users.
include keys.conf
"""


def text() -> str:
    """Return the accounts, as a nats-server reads them."""
    accounts = [_holder(), *(_guest(part) for part in Part if part is not _HOLDER), "  SYS {\n    users: $SYS_USERS\n  }\n"]
    return f"{_HEAD}accounts {{\n{''.join(accounts)}}}\nsystem_account: SYS\n"


def users_variable(part: Part | str) -> str:
    """Name the variable of keys.conf that lists the users of a part: one, or two while its key is being changed."""
    return f"{part.upper()}_USERS"


def publications(part: Part) -> list[str]:
    """Return the subjects of the contract that a part may publish on, with wildcards; none is within another."""
    return _widest(subject for channel in CONTRACT for subject in channel.publications(part))


def subscriptions(part: Part) -> list[str]:
    """Return the subjects of the contract that a part may hear, with wildcards; none is within another."""
    return _widest(channel.subscription() for channel in CONTRACT if part in channel.subscribers)


def _widest(subjects: Iterable[str]) -> list[str]:
    """Leave out what is within another one: what is imported twice arrives twice."""
    every = set(subjects)
    return sorted(subject for subject in every if not any(other != subject and _is_within(subject, other) for other in every))


def _is_within(subject: str, other: str) -> bool:
    tokens, others = subject.split("."), other.split(".")
    return len(tokens) == len(others) and all(wide in ("*", token) for token, wide in zip(tokens, others, strict=True))


def _holder() -> str:
    responses = f'allow_responses: {{ max: 1, expires: "{_ANSWER_SECONDS}s" }}'
    lines = [f"jetstream: {{ max_streams: {len(_STREAMS)} }}", *_permissions(_HOLDER, [responses]), *_list("exports", _exports())]
    return _account(_HOLDER, lines)


def _guest(part: Part) -> str:
    lines = [*_permissions(part), *_list("imports", _imports(part))]
    mapped = [f'"{_API}.{request}": "{_elsewhere(request)}"' for request in _JETSTREAM[part] if not _is_direct(request)]
    # An account without streams has a JetStream of its own, that knows none: what is asked of it goes to the import.
    lines += ["mappings {", *(f"  {line}" for line in mapped), "}"]
    return _account(part, lines)


def _account(part: Part, lines: Iterable[str]) -> str:
    body = "".join(f"    {line}\n" for line in (f"users: ${users_variable(part)}", *lines))
    return f"  {_name(part)} {{\n{body}  }}\n"


def _permissions(part: Part, more: Sequence[str] = ()) -> Iterator[str]:
    requests = [f"{_API}.{request}" if part is _HOLDER or _is_direct(request) else _elsewhere(request) for request in _JETSTREAM[part]]
    # Operators come with clients of all kinds, which have no inboxes of Stagedoor's names.
    inbox = f"{REPLY_PREFIX if part is Part.OPERATOR else inbox_prefix(part)}.>"
    own = [inbox] if part is _HOLDER else []
    yield "default_permissions {"
    yield from (f"  {line}" for line in _list("publish", map(_quoted, [*publications(part), *requests, *own])))
    yield from (f"  {line}" for line in _list("subscribe", map(_quoted, [*subscriptions(part), inbox])))
    yield from (f"  {line}" for line in more)
    yield "}"


def _exports() -> Iterator[str]:
    guests = [part for part in Part if part is not _HOLDER]
    for subject in sorted({subject for part in guests for subject in publications(part)}):
        yield f'{{ service: "{subject}", accounts: [{_names(part for part in guests if subject in publications(part))}] }}'
    for request in sorted({request for part in guests for request in _JETSTREAM[part]}):
        many = f', response_type: stream, response_threshold: "{_READ_SECONDS}s"' if _is_direct(request) else ""
        names = _names(part for part in guests if request in _JETSTREAM[part])
        yield f'{{ service: "{_API}.{request}"{many}, accounts: [{names}] }}'
    for subject in sorted({subject for part in guests for subject in subscriptions(part)}):
        yield f'{{ stream: "{subject}", accounts: [{_names(part for part in guests if subject in subscriptions(part))}] }}'


def _imports(part: Part) -> Iterator[str]:
    holder = _name(_HOLDER)
    for subject in publications(part):
        yield f'{{ service: {{ account: {holder}, subject: "{subject}" }} }}'
    for request in _JETSTREAM[part]:
        to = "" if _is_direct(request) else f', to: "{_elsewhere(request)}"'
        yield f'{{ service: {{ account: {holder}, subject: "{_API}.{request}" }}{to} }}'
    for subject in subscriptions(part):
        yield f'{{ stream: {{ account: {holder}, subject: "{subject}" }} }}'


def _is_direct(request: str) -> bool:
    """Say whether the stream itself answers, and not the server's JetStream."""
    return request.startswith("DIRECT.")


def _elsewhere(request: str) -> str:
    return f"stagedoor.js.{request}"


def _list(name: str, items: Iterable[str]) -> Iterator[str]:
    yield f"{name}: ["
    yield from (f"  {item}" for item in items)
    yield "]"


def _quoted(subject: str) -> str:
    return f'"{subject}"'


def _name(part: Part) -> str:
    return part.upper()


def _names(parts: Iterable[Part]) -> str:
    return ", ".join(map(_name, parts))


if __name__ == "__main__":
    sys.stdout.write(text())

"""`stagedoor nats-keys`: keys, certificates and the configuration of a nats-server that lets each part do its own work only."""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import nkeys

from cli.arguments import Commands
from cli.nats_server import jetstream, pings
from shared.contracts import nats_accounts
from shared.contracts.errors import ConfigurationError
from shared.contracts.subjects import Part

ROLES = (*(str(part) for part in Part), "sys")
"""Whose keys there are; `sys` is for who operates the server itself."""
_KEY = re.compile(r"U[A-Z2-7]{55}")
_MOST = "10GB"


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "nats-keys",
        help="make keys and a configuration for nats-server",
        description="Write what is not there yet: an nkey for each part of Stagedoor, a certificate and the authority that signed it "
        "(for trying out: bring your own), and the configuration of a nats-server that allows each part no more than its work.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to; nobody else may read the keys")
    parser.add_argument(
        "--host", action="append", metavar="NAME", help="a name or address of the server, for its certificate; may be repeated"
    )
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--add", choices=ROLES, help="make another key for a part: the old one counts until it is retired")
    change.add_argument("--retire", choices=ROLES, help="let only the newest key of a part count")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    """Write the files, and say what to do with them."""
    out = arguments.out.absolute()
    write(out, arguments.host or ["127.0.0.1", "localhost"])
    if arguments.add:
        add(out, arguments.add)
    if arguments.retire:
        retire(out, arguments.retire)
    print(f"nats-server -c {out / 'nats.conf'}    (a running one: nats-server --signal reload)")
    print(f"{'each service':<15} STAGEDOOR_NATS_URL=tls://...:4222  STAGEDOOR_NATS_CA_FILE={out / 'tls/ca.pem'}")
    for role in ROLES:
        print(f"{role:<15} STAGEDOOR_NATS_NKEY_FILE={seed_file(out, role)}")
    return 0


def write(out: Path, hosts: Sequence[str]) -> None:
    """Write what is missing. Keys and certificates that are there stay; the configuration is made anew."""
    for directory in (out, out / "seeds", out / "tls"):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = read_keys(out)
    for role in ROLES:
        if not keys.get(role):
            keys[role] = [_new_key(out, role)]
    _write_keys(out, keys)
    if not (out / "tls/server.pem").exists():
        # Only here: images have no use for it.
        from cli.certificates import make_authority, make_server  # noqa: PLC0415

        authority = make_authority()
        certificate, key = make_server(authority, hosts)
        (out / "tls/ca.pem").write_bytes(authority.certificate)
        _write_secret(out / "tls/server.key", key)
        (out / "tls/server.pem").write_bytes(certificate)
    (out / "accounts.conf").write_text(nats_accounts.text())
    (out / "nats.conf").write_text(server_configuration(out, out / "data"))


def add(out: Path, role: str) -> None:
    """Make another key for a role, beside those that count."""
    keys = read_keys(out)
    keys[role] = [*keys[role], _new_key(out, role)]
    _write_keys(out, keys)


def retire(out: Path, role: str) -> None:
    """Let only the newest key of a role count."""
    keys = read_keys(out)
    keys[role] = keys[role][-1:]
    _write_keys(out, keys)


def seed_file(out: Path, role: str) -> Path:
    """Return where the seed of a role's newest key is."""
    return out / "seeds" / f"{role}.nk"


def read_keys(out: Path) -> dict[str, list[str]]:
    """Read the public keys of each role, the newest last.

    Raises:
        ConfigurationError: the file was not written by this command.
    """
    path = out / "keys.conf"
    if not path.exists():
        return {}
    keys: dict[str, list[str]] = {}
    roles = {nats_accounts.users_variable(role): role for role in ROLES}
    for line in path.read_text().splitlines():
        name, colon, users = line.partition(":")
        if line.startswith("#") or not line.strip():
            continue
        if not colon or name not in roles:
            raise ConfigurationError(f"{path}: {name[:40]!r} is no line of this command's")
        keys[roles[name]] = _KEY.findall(users)
    return keys


def server_configuration(home: Path, store: Path) -> str:
    """Write the configuration of a server whose other files are in ``home``."""
    lines = [
        "# Made by `make docs`. Nothing is said before TLS: nobody in between can say that there is none.",
        "include accounts.conf",
        "port: 4222",
        'http: "127.0.0.1:8222"',
        "tls {",
        f"  cert_file: {json.dumps(str(home / 'tls/server.pem'))}",
        f"  key_file: {json.dumps(str(home / 'tls/server.key'))}",
        "  handshake_first: true",
        "}",
        *pings(),
        *jetstream(store, sync_always=True, most=_MOST),
    ]
    return "\n".join(lines) + "\n"


def _new_key(out: Path, role: str) -> str:
    """Make a key; returns the public half, and leaves the other in its file."""
    seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    pair = nkeys.from_seed(bytearray(seed))
    public: str = pair.public_key.decode()
    pair.wipe()
    _write_secret(seed_file(out, role), seed + b"\n")
    return public


def _write_keys(out: Path, keys: dict[str, list[str]]) -> None:
    lines = (f"{nats_accounts.users_variable(role)}: [{_users(keys[role])}]" for role in ROLES)
    (out / "keys.conf").write_text(
        "# Written by `stagedoor nats-keys`: whose keys count. None of it is secret.\n" + "\n".join(lines) + "\n"
    )


def _users(keys: Iterable[str]) -> str:
    return ", ".join(f"{{ nkey: {key} }}" for key in keys)


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file that nobody else may read, in one step: whoever reads it meanwhile has the old one."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.rename(path)


if __name__ == "__main__":
    sys.stdout.write(server_configuration(Path("/etc/nats"), Path("/data")))

"""`stagedoor backup` and `stagedoor restore`: the two streams that are the state, as files.

A directory with, for each stream, the server's archive of it and a description with the archive's checksum. Both streams are of one moment
as far as it matters: where a snapshot was taken between the two copies, they are made again.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from cli.arguments import Commands
from cli.bus import connected
from shared.bus.backup import CHUNK_BYTES, StreamCopy, copy_in, copying_out
from shared.contracts.errors import ConfigurationError, StagedoorError, UnavailableError
from shared.contracts.subjects import LEASES, SNAPSHOT_STREAM, STREAM

_STREAMS = (SNAPSHOT_STREAM, STREAM)
"""In the order of copying: snapshots that are ahead of the events would cover what is not there."""
_TRIES = 5
_LISTEN_SECONDS = 2.0
"""Longer than a registry that lives is ever silent, with a lease as it usually is."""


class _Description(BaseModel):
    """What lies beside a stream's archive."""

    config: dict[str, Any]
    state: dict[str, Any]
    sha256: str


def add_to(commands: Commands) -> None:
    """Add the commands."""
    backup = commands.add_parser("backup", help="copy the state into a directory", description=__doc__)
    restore = commands.add_parser(
        "restore",
        help="make the state of a backup, on a server that has none",
        description="Make the two streams of a backup. All services must have ended, and the streams must not be there.",
    )
    for parser, run in ((backup, run_backup), (restore, run_restore)):
        parser.add_argument("directory", type=Path)
        parser.set_defaults(run=run)


async def run_backup(arguments: argparse.Namespace) -> int:
    """Copy both streams. The directory appears when it is complete."""
    directory: Path = arguments.directory
    _check_new(directory)
    partial = directory.with_name(directory.name + ".partial")
    async with connected() as connection:
        with _writing(partial):
            copies = await _copy_out_all(connection, partial)
            partial.rename(directory)
    for stream, copy in copies.items():
        print(f"{stream:<18} {copy.state['messages']} messages, up to {copy.state['last_seq']}")
    return 0


async def run_restore(arguments: argparse.Namespace) -> int:
    """Check both files, check that nobody is there, and make both streams."""
    backup = {stream: _load(arguments.directory, stream) for stream in _STREAMS}
    async with connected() as connection:
        await _check_nobody_is_there(connection)
        for stream, copy in backup.items():
            try:
                messages = await copy_in(connection, stream, copy, _parts(_archive(arguments.directory, stream)))
            except StagedoorError:
                if stream is not _STREAMS[0]:
                    print(f"{_STREAMS[0]} was made, and has to be deleted before another try")
                raise
            print(f"{stream:<18} {messages} messages")
    return 0


def _check_new(directory: Path) -> None:
    if directory.exists():
        raise ConfigurationError(f"{directory} is there already")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{error.filename or path} cannot be written: {error.strerror}") from error


async def _copy_out_all(connection: Client, directory: Path) -> dict[str, StreamCopy]:
    """Copy both streams into a fresh directory."""
    for _ in range(_TRIES):
        _make_anew(directory)
        copies = {stream: await _copy_out(connection, stream, directory) for stream in _STREAMS}
        if await _last_seq(connection, SNAPSHOT_STREAM) == copies[SNAPSHOT_STREAM].state["last_seq"]:
            return copies
        print("a snapshot was taken meanwhile: once more")
    raise UnavailableError(f"in each of {_TRIES} tries a snapshot was taken between the two copies; try at a quieter time")


def _make_anew(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)


async def _copy_out(connection: Client, stream: str, directory: Path) -> StreamCopy:
    digest = hashlib.sha256()
    async with copying_out(connection, stream) as (copy, parts):
        with _archive(directory, stream).open("wb") as file:
            async for part in parts:
                digest.update(part)
                file.write(part)
    description = {**copy._asdict(), "sha256": digest.hexdigest()}
    _description(directory, stream).write_text(json.dumps(description, indent=1) + "\n")
    return copy


def _load(directory: Path, stream: str) -> StreamCopy:
    """Read a stream's description, and check its archive."""
    try:
        description = _Description.model_validate_json(_description(directory, stream).read_bytes())
        digest = hashlib.sha256()
        for part in _parts(_archive(directory, stream)):
            digest.update(part)
    except OSError as error:
        raise ConfigurationError(f"{directory} is no backup: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{_description(directory, stream)} is no description: {error.errors()[0]['msg']}") from error
    if description.config.get("name") != stream:
        raise ConfigurationError(f"{_description(directory, stream)} describes another stream")
    if digest.hexdigest() != description.sha256:
        raise ConfigurationError(f"{_archive(directory, stream)} is not what was written: its checksum is another")
    return StreamCopy(description.config, description.state)


async def _check_nobody_is_there(connection: Client) -> None:
    heard = asyncio.Event()

    async def hear(_message: Msg) -> None:
        heard.set()

    subscription = await connection.subscribe(LEASES.subscription(), cb=hear)
    try:
        async with asyncio.timeout(_LISTEN_SECONDS):
            await heard.wait()
    except TimeoutError:
        return
    finally:
        await subscription.unsubscribe()
    raise ConfigurationError("a registry runs: end all services first")


async def _last_seq(connection: Client, stream: str) -> int:
    try:
        return (await connection.jetstream().stream_info(stream)).state.last_seq
    except (nats.errors.Error, TimeoutError) as error:
        raise UnavailableError(f"{stream}: {error}") from error


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            yield part


def _archive(directory: Path, stream: str) -> Path:
    return directory / f"{stream}.archive"


def _description(directory: Path, stream: str) -> Path:
    return directory / f"{stream}.json"

"""The file that describes apps: a mounted secret, say. It may be replaced while services run; a bad one changes nothing.

{"apps": [{"sdk_app_id": 1400000001, "secret_key": "...", "accepted_keys": ["..."], "credentials": {"AKID...": "..."}}]}
"""

import asyncio
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.auth.apps import App, Apps
from shared.contracts.errors import ConfigurationError
from shared.contracts.ids import SdkAppId

log = structlog.get_logger()

MAX_BYTES = 1 << 20

_Key = Annotated[str, Field(min_length=1, max_length=1024)]
_SecretId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class _App(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    sdk_app_id: SdkAppId
    secret_key: _Key
    accepted_keys: Annotated[list[_Key], Field(max_length=4)] = []
    credentials: Annotated[dict[_SecretId, _Key], Field(max_length=100)] = {}


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    apps: Annotated[list[_App], Field(min_length=1, max_length=10_000)]


def read_apps(path: Path) -> Apps:
    """Read the apps that a file describes.

    Raises:
        ConfigurationError: it cannot be read, or describes none; the text shows nothing of its content.
    """
    return Apps(_parse(path, _read(path)))


class AppsFile:
    """Keeps apps as a file describes them.

    Args:
        path: of the file, links followed each time: a mounted secret changes by a link that is swapped.
        apps: what is kept; whoever holds it has the new ones when they are read.
        seconds: between two looks.
    """

    def __init__(self, path: Path, apps: Apps, seconds: float) -> None:
        self._path = path
        self._apps = apps
        self._seconds = seconds
        self._seen: bytes | str = ""
        """What was found last: its content, or why there was none."""

    async def keep(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("apps_file_unwatched")
            await asyncio.sleep(self._seconds)

    async def _look(self) -> None:
        found: bytes | str
        try:
            found = await asyncio.to_thread(_read, self._path)
        except ConfigurationError as error:
            found = str(error)
        if found != self._seen:
            self._seen = found
            self._take(found)

    def _take(self, found: bytes | str) -> None:
        try:
            if isinstance(found, str):
                raise ConfigurationError(found)  # noqa: TRY301 -- there is one way for a bad file
            apps = _parse(self._path, found)
            self._apps.replace(apps)
        except ConfigurationError as error:
            log.error("apps_file_refused", reason=str(error))  # noqa: TRY400 -- a cause would show what is in the file
        else:
            log.info("apps_file_read", apps=[app.sdk_app_id for app in apps][:20])


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"STAGEDOOR_APPS_FILE: {path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"STAGEDOOR_APPS_FILE: {path} has more than {MAX_BYTES} bytes")
    return data


def _parse(path: Path, data: bytes) -> list[App]:
    try:
        described = _File.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # The place of a credential is its SecretId, and what was mistaken for one may be a key.
        place = ".".join(str(part) for part in first["loc"][:3])
        raise ConfigurationError(f"STAGEDOOR_APPS_FILE: {path}: {place or 'content'}: {first['msg']}") from None
    return [App(app.sdk_app_id, app.secret_key, app.credentials, tuple(app.accepted_keys)) for app in described.apps]

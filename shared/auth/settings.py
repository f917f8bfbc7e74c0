"""The apps and their secrets, as settings: mix into a service's own.

The mixins stand first (``class GatewaySettings(AppSettings, Settings)``). Either variables describe one app, or a file any number of
them, which may change while the service runs.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from shared.auth.app_file import AppsFile, read_apps
from shared.auth.apps import App, Apps
from shared.settings import EnvironmentSettings


class AppSettings(EnvironmentSettings):
    """For who verifies or signs UserSigs."""

    sdk_app_id: int | None = Field(default=None, ge=1, le=4294967295)
    secret_key: SecretStr | None = Field(default=None, min_length=1)
    """Signs UserSigs."""
    apps_file: Path | None = None
    """Describes the apps, in place of all of the variables."""
    apps_reload_seconds: float = Field(default=5.0, gt=0, le=3600)
    """How often the file is looked at."""

    @model_validator(mode="after")
    def _described_once(self) -> Self:
        alone = self._alone()
        given = [name for name, value in alone.items() if value is not None]
        if self.apps_file is not None and given:
            raise ValueError(f"STAGEDOOR_APPS_FILE and {', '.join(given)}: give the one or the others")
        if self.apps_file is None and len(given) < len(alone):
            missing = ", ".join(name for name, value in alone.items() if value is None)
            raise ValueError(f"{missing}: missing, as STAGEDOOR_APPS_FILE is")
        return self

    def _alone(self) -> dict[str, object]:
        """Return what describes one app without a file."""
        return {"STAGEDOOR_SDK_APP_ID": self.sdk_app_id, "STAGEDOOR_SECRET_KEY": self.secret_key}

    def apps(self) -> Apps:
        """Return the apps these settings describe.

        Raises:
            ConfigurationError: the file cannot be read, or describes none.
        """
        if self.apps_file is not None:
            return read_apps(self.apps_file)
        assert self.sdk_app_id is not None
        assert self.secret_key is not None
        return Apps([App(self.sdk_app_id, self.secret_key.get_secret_value(), self._credentials())])

    async def keep(self, apps: Apps) -> None:
        """Keep apps as the file describes them, until cancelled; without a file they stay as they are."""
        if self.apps_file is not None:
            await AppsFile(self.apps_file, apps, self.apps_reload_seconds).keep()

    def _credentials(self) -> dict[str, str]:
        return {}


class CredentialSettings(AppSettings):
    """For who verifies calls of the server API, too."""

    secret_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,128}$")
    api_secret_key: SecretStr | None = Field(default=None, min_length=1)
    """The SecretKey that belongs to ``secret_id``."""

    def _alone(self) -> dict[str, object]:
        return {**super()._alone(), "STAGEDOOR_SECRET_ID": self.secret_id, "STAGEDOOR_API_SECRET_KEY": self.api_secret_key}

    def _credentials(self) -> dict[str, str]:
        assert self.secret_id is not None
        assert self.api_secret_key is not None
        return {self.secret_id: self.api_secret_key.get_secret_value()}

"""The app and its secrets, as settings: mix into a service's own.

The mixins stand first (``class GatewaySettings(AppSettings, Settings)``).
"""

from pydantic import Field, SecretStr

from shared.auth.apps import App, Apps
from shared.settings import EnvironmentSettings


class AppSettings(EnvironmentSettings):
    """For who verifies or signs UserSigs."""

    sdk_app_id: int = Field(ge=1, le=4294967295)
    secret_key: SecretStr = Field(min_length=1)
    """Signs UserSigs."""

    def apps(self) -> Apps:
        """Return the apps these settings describe."""
        return Apps([App(self.sdk_app_id, self.secret_key.get_secret_value())])


class CredentialSettings(AppSettings):
    """For who verifies calls of the server API, too."""

    secret_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")
    api_secret_key: SecretStr = Field(min_length=1)
    """The SecretKey that belongs to ``secret_id``."""

    def apps(self) -> Apps:
        """Return the apps these settings describe, with their credentials."""
        credentials = {self.secret_id: self.api_secret_key.get_secret_value()}
        return Apps([App(self.sdk_app_id, self.secret_key.get_secret_value(), credentials)])

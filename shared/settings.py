"""Settings: environment variables that begin with ``STAGEDOOR_``, checked before anything starts."""

from typing import Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.contracts.errors import ConfigurationError


class EnvironmentSettings(BaseSettings):
    """The base of all settings."""

    model_config = SettingsConfigDict(env_prefix="STAGEDOOR_", frozen=True, env_ignore_empty=True)

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            ConfigurationError: a setting is missing or wrong; the text names each.
        """
        try:
            return cls()
        except ValidationError as error:
            lines = (f"STAGEDOOR_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False))
            raise ConfigurationError("; ".join(lines)) from None


class BusSettings(EnvironmentSettings):
    """Where the bus is."""

    nats_url: str = "nats://127.0.0.1:4222"
    """Addresses of NATS servers, separated by commas. Credentials go into ``nats_token``, not here."""
    nats_token: SecretStr | None = None


class Settings(BusSettings):
    """What every service is told: where the bus is, where to listen, how to log."""

    host: str = "127.0.0.1"
    """Address to listen on for HTTP."""
    port: int = Field(ge=0, le=65535)
    max_connections: int = Field(default=900, ge=1)
    """HTTP and WebSockets, at once; with some spare ones below the 1024 files that a process may usually open."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    stop_seconds: float = Field(default=10.0, gt=0)
    """How long a graceful end may take."""

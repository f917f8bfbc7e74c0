"""Settings: environment variables that begin with ``STAGEDOOR_``, checked before anything starts."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
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
            raise ConfigurationError("; ".join(map(_line, error.errors(include_input=False)))) from None


def _line(error: ErrorDetails) -> str:
    """Say what is wrong with one setting, or with several together."""
    place, message = error["loc"], error["msg"].removeprefix("Value error, ")
    return f"STAGEDOOR_{'_'.join(map(str, place)).upper()}: {message}" if place else message


class BusSettings(EnvironmentSettings):
    """Where the bus is."""

    nats_url: str = "nats://127.0.0.1:4222"
    """Addresses of NATS servers, separated by commas. Credentials go into ``nats_token``, not here."""
    nats_token: SecretStr | None = None
    nats_nkey_file: Path | None = None
    """Holds the seed of the nkey that this process is known by. Read once, at the start."""
    nats_ca_file: Path | None = None
    """Certificates that vouch for the servers' own. With it, or with ``tls://`` in ``nats_url``, nothing is said before TLS."""

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.nats_token is not None and self.nats_nkey_file is not None:
            raise ValueError("STAGEDOOR_NATS_TOKEN and STAGEDOOR_NATS_NKEY_FILE: give one of them")
        return self


class Settings(BusSettings):
    """What every service is told: where the bus is, where to listen, how to log."""

    host: str = "127.0.0.1"
    """Address to listen on for HTTP."""
    port: int = Field(ge=0, le=65535)
    max_connections: int = Field(default=900, ge=1)
    """HTTP and WebSockets, at once; with some spare ones below the 1024 files that a process may usually open."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_personal: Literal["plain", "hash", "drop"] = "plain"
    """What becomes of personal data in the log: which fields have it, docs/logging.md says."""
    log_hash_key: SecretStr | None = None
    """With ``hash``: whoever has it can compare lines of several processes. None is a random one at each start."""
    traces: Literal["off", "otlp"] = "off"
    """Where traces go: nowhere, or to a collector, by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``)."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Where ``/metrics`` is served, and nothing else: what leads strangers to ``port`` does not lead them there. None is nowhere."""
    stop_seconds: float = Field(default=10.0, gt=0)
    """How long a graceful end may take."""

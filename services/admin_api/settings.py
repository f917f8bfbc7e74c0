"""What the server API is told."""

from pydantic import Field

from shared.auth.settings import CredentialSettings
from shared.settings import Settings


class AdminSettings(CredentialSettings, Settings):
    """Settings of one process of the server API."""

    port: int = Field(default=8081, ge=0, le=65535)
    admin_command_seconds: float = Field(default=10.0, gt=0, le=60)
    """How long the registry may take for a command before the caller is told to try again."""
    admin_receipt_seconds: float = Field(default=1.0, ge=0, le=60)
    """How long an answer waits for the receipts of those who were made to leave."""
    admin_rate: float = Field(default=200.0, gt=0)
    """Requests a second of one SecretId for one action; that many may come at once."""
    admin_body_bytes: int = Field(default=256 * 1024, ge=1024)
    """The largest body of a request."""

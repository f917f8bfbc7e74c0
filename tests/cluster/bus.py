"""The keys of a secured bus, and a reader who may look into all of its streams."""

import secrets
import ssl
from pathlib import Path

import nats

from cli import nats_keys

_NATS = Path(__file__).parents[2] / "deploy/nats"
_READER = "checker"
_NAME = "nats"
"""Of the Service: what the certificate is for."""


class Bus:
    """What `stagedoor nats-keys` makes, in a directory."""

    def __init__(self, directory):
        self.directory = directory
        self._password = secrets.token_hex(16)
        nats_keys.write(directory, [_NAME])
        keys = directory / "keys.conf"
        reads = 'permissions: { publish: ["$JS.API.>"], subscribe: ["_INBOX.>"] }'
        user = f'{{ user: {_READER}, password: "{self._password}", {reads} }}'
        keys.write_text(keys.read_text().replace("ROOM_REGISTRY_USERS: [", f"ROOM_REGISTRY_USERS: [{user}, "))

    def of_the_server(self):
        """Name the server's files: the configuration that is shipped, and the keys."""
        return [_NATS / "nats.conf", _NATS / "accounts.conf", self.directory / "keys.conf", *sorted(self.directory.glob("tls/server.*"))]

    def of_the_services(self):
        """Name the services' files."""
        return [*sorted(self.directory.glob("seeds/*.nk")), self.directory / "tls/ca.pem"]

    async def connect(self, address):
        """Connect as the reader."""
        context = ssl.create_default_context(cafile=self.directory / "tls/ca.pem")
        return await nats.connect(
            f"tls://{address}:4222", user=_READER, password=self._password, tls=context, tls_hostname=_NAME, tls_handshake_first=True
        )

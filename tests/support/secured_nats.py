"""A nats-server with the configuration that is shipped: TLS, a key for each part, and each part's account."""

import json
import ssl

import nats

from cli import nats_keys
from cli.nats_server import LocalNats
from shared.contracts.subjects import inbox_prefix
from shared.settings import BusSettings


class SecuredNats(LocalNats):
    """As `stagedoor nats-keys` configures it, on a port of the test's own; with the keys that are in the directory, if there are any."""

    def __init__(self, directory, port=-1, more=()):
        nats_keys.write(directory, ["127.0.0.1"])
        tls = {"cert_file": str(directory / "tls/server.pem"), "key_file": str(directory / "tls/server.key"), "handshake_first": True}
        super().__init__(directory, port, sync_always=False, more=["include accounts.conf", f"tls: {json.dumps(tls)}", *more])

    @property
    def ca(self):
        """The authority that vouches for the server."""
        return self.directory / "tls/ca.pem"

    @property
    def tls_url(self):
        """The address for those who speak TLS first."""
        return "tls://" + self.url.partition("://")[2]

    def seed_file(self, role):
        """Where a role's seed is."""
        return nats_keys.seed_file(self.directory, role)

    def environment(self, role):
        """What a process of this role is told."""
        return {
            "STAGEDOOR_NATS_URL": self.tls_url,
            "STAGEDOOR_NATS_CA_FILE": str(self.ca),
            "STAGEDOOR_NATS_NKEY_FILE": str(self.seed_file(role)),
        }

    def settings(self, role):
        """The same, as settings."""
        return BusSettings(nats_url=self.tls_url, nats_ca_file=self.ca, nats_nkey_file=self.seed_file(role))

    async def connect(self, role, **options):
        """A plain client with a role's key."""
        options = {
            "inbox_prefix": inbox_prefix(role),
            "nkeys_seed": str(self.seed_file(role)),
            "tls_handshake_first": True,
            "tls": ssl.create_default_context(cafile=self.ca),
        } | options
        return await nats.connect(self.url, **options)

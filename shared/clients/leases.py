"""Leases of gateways: written by each, watched by the owners of partitions.

The last message of a gateway's subject is its lease, and its sequence the revision. Nothing expires: an outage of the bus
must not make every lease look old. Whether a gateway is lost is for the watcher's own clock to say.
"""

from nats.aio.client import Client
from nats.js import api
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from shared.bus.stream import ensure_stream
from shared.bus.unavailable import or_unavailable
from shared.contracts.leases import GatewayLease
from shared.contracts.subjects import GATEWAY_LEASES, GATEWAY_STREAM

_KEPT_SECONDS = 7 * 24 * 3600
"""So that dead boots are forgotten one day. A live one renews in time, or anew: a lease that is missing is a revision, too."""
_SECONDS = 3.0


class GatewayLeases:
    """Leases over one connection."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._js = connection.jetstream(timeout=_SECONDS)

    async def ensure(self, replicas: int) -> None:
        """Create the stream of leases where it is missing.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        config = api.StreamConfig(
            name=GATEWAY_STREAM,
            subjects=[GATEWAY_LEASES.subscription()],
            storage=api.StorageType.FILE,
            max_msgs_per_subject=1,
            max_age=_KEPT_SECONDS,
            num_replicas=replicas,
            # Read from the leader only: a replica that lags shows a revision that is old.
            allow_direct=False,
        )
        await ensure_stream(self._connection, config)

    async def renew(self, lease: GatewayLease) -> None:
        """Write a lease anew.

        Raises:
            UnavailableError: it may not be stored.
        """
        with or_unavailable("the lease was not renewed"):
            await self._js.publish(GATEWAY_LEASES.pattern.format(gateway=lease.gateway), lease.to_bytes())

    async def read(self, gateway: str) -> tuple[int, GatewayLease | None]:
        """Ask the stream's leader for a gateway's lease: its revision and what it says; 0 and None where there is none.

        Raises:
            UnavailableError: JetStream does not answer.
        """
        with or_unavailable("a lease could not be read"):
            try:
                message = await self._js.get_last_msg(GATEWAY_STREAM, GATEWAY_LEASES.pattern.format(gateway=gateway))
            except NotFoundError:
                return 0, None
        try:
            return message.seq or 0, GatewayLease.model_validate_json(message.data or b"")
        except ValidationError:
            return message.seq or 0, None

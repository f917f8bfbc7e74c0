"""What a service counts and measures, for Prometheus to read.

Names begin with ``stagedoor_``, units are base units, counters end in ``_total``. Labels have few values, all of them this code's or an
operator's: never a room's, a user's or a session's. Each service has a registry of its own, so several fit into one process. Only this
module, and the one named ``metrics`` of each service, know the library.

What can be looked at is looked at when somebody asks; nothing is written down for it on the way.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of all durations."""


# When a counter began to count nobody asks, and it would be one more series for each.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one service; each service adds its own to these.

    Args:
        service: its name; the component of ``stagedoor_build_info``.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = self._gauge("build_info", "Always 1; the labels say what runs.", "component", "version")
        build.labels(service, version("stagedoor")).set(1)
        self._ready = self._gauge("ready", "1 where nothing is missing to serve, as /readyz says.")
        self._connections = self._gauge("http_connections", "Open connections of the public listener, WebSockets included.")
        self._max_connections = self._gauge("http_connections_max", "Connections beyond which newcomers are refused.")
        self._nats_connected = self._gauge("nats_connected", "1 while the connection to NATS is up.")
        self._nats_reconnects = self._counter("nats_reconnects_total", "Connections to NATS made anew.")
        self._nats_errors = self._counter("nats_errors_total", "What the NATS client reports: slow consumers, denied permissions.")

    def watch_service(self, *, ready: Callable[[], bool], connections: Callable[[], int], max_connections: int) -> None:
        """Say where to look for a service's state."""
        self._ready.set_function(ready)
        self._connections.set_function(connections)
        self._max_connections.set(max_connections)

    def watch_bus(self, connected: Callable[[], bool]) -> None:
        """Say where to look for the connection to NATS."""
        self._nats_connected.set_function(connected)

    def bus_reconnected(self) -> None:
        """Count a connection made anew."""
        self._nats_reconnects.inc()

    def bus_failed(self) -> None:
        """Count an error of the NATS client."""
        self._nats_errors.inc()

    def route(self) -> Route:
        """Build the route that answers with all of it."""
        return Route("/metrics", self._expose)

    async def _expose(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self.registry), headers={"content-type": content_type})

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, namespace="stagedoor", registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(name, about, labels, namespace="stagedoor", registry=self.registry)

    def _seconds(self, name: str, about: str, *labels: str, buckets: Sequence[float] = SECONDS) -> Histogram:
        return Histogram(name, about, labels, namespace="stagedoor", registry=self.registry, buckets=buckets)


class FollowerMetrics(Metrics):
    """The metrics of a service that follows the event stream."""

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self._lag = self._gauge("stream_lag_messages", "Committed messages that were not applied here when a round last looked.")
        self._silence = self._gauge("stream_silence_seconds", "Since the last finished round of hearing began; one is made every second.")
        self._applied = self._gauge("stream_applied_sequence", "The sequence of the last message applied here.")

    def watch_follower(self, *, applied: Callable[[], int], lag: Callable[[], int], heard_at: Callable[[], float]) -> None:
        """Say where to look for how far the service has followed; ``heard_at`` is monotonic."""
        self._applied.set_function(applied)
        self._lag.set_function(lag)
        self._silence.set_function(lambda: time.monotonic() - heard_at())


class Looked(Collector):
    """Metrics that are put together when somebody asks, because their labels come and go.

    Args:
        look: returns them; without a sample where there is nothing.
    """

    def __init__(self, look: Callable[[], Iterable[Metric]]) -> None:
        self._look = look

    def collect(self) -> Iterable[Metric]:
        """Look."""
        return self._look()

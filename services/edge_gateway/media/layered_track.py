"""A video that is published in two sizes: the streams of its layers, and who follows which."""

from dataclasses import replace
from typing import Protocol

from services.edge_gateway.media.forwarding import Link
from services.edge_gateway.media.interface import Track
from services.edge_gateway.media.rid import LAYERS, Layer, NamedStream, RidIds
from services.edge_gateway.media.sdp import OfferedTrack
from services.edge_gateway.media.track import PublishedTrack, Tap

_SILENT = 1.0
"""Seconds without a packet after which a layer counts as not sent: browsers stop the big one when their line is short."""


class Follower(Tap, Protocol):
    """A subscriber of one of the layers."""

    wanted: Layer

    def follow(self, layer: PublishedTrack, now: float) -> None:
        """Go over to a layer as soon as it has a key frame."""
        ...

    def leave(self) -> None:
        """Follow none any more."""
        ...

    def tick(self, now: float) -> None:
        """Let go of what is too old."""
        ...


class _Heard:
    """How long a layer has been silent, by its count of packets."""

    def __init__(self, now: float) -> None:
        self._packets = 0
        self._at = now

    def look(self, packets: int, now: float) -> None:
        if packets != self._packets:
            self._packets, self._at = packets, now

    def is_silent(self, now: float) -> bool:
        return now - self._at > _SILENT


class LayeredTrack:
    """One track of a publisher in several layers. A layer is there from its first packet on.

    Args:
        track: its id and kind.
        stream: the name of what is played in step with it.
        offered: what the publisher's SDP says of it.
        publisher: where packets come from, and feedback goes.
        sender: the SSRC of our feedback.
    """

    def __init__(self, track: Track, stream: str, offered: OfferedTrack, publisher: Link, sender: int) -> None:
        self.track = track
        self.stream = stream
        self.codec = offered.codec
        self.offered = offered
        self._publisher = publisher
        self._sender = sender
        self._layers: dict[Layer, PublishedTrack] = {}
        self._heard: dict[Layer, _Heard] = {}
        self._repairs: dict[Layer, int] = {}
        self._followers: dict[Follower, None] = {}
        self._muted = False

    @property
    def rid_ids(self) -> RidIds | None:
        """The numbers of the header extensions that name the layers; None when all streams are known."""
        known = self.offered.rtx_payload_type is None or len(self._repairs) == len(self.offered.layers)
        return None if known and len(self._layers) == len(self.offered.layers) else self.offered.rid_ids

    def misses(self, named: NamedStream) -> bool:
        """Tell whether a stream of that name is not known yet."""
        known = self._repairs if named.repairs else self._layers
        return named.layer in self.offered.layers and named.layer not in known

    def learn(self, named: NamedStream, ssrc: int, now: float) -> PublishedTrack | None:
        """Take note of a stream's SSRC, which an authentic packet told. Returns the layer's track when it is new."""
        if named.repairs:
            self._repairs[named.layer] = ssrc
            return None
        offered = replace(self.offered, ssrc=ssrc)
        layer = PublishedTrack(self.track, self.stream, offered, self._publisher, extension_ids={}, sender=self._sender)
        layer.mute(now, muted=self._muted)
        self._layers[named.layer] = layer
        self._heard[named.layer] = _Heard(now)
        for follower in self._followers:
            self.direct(follower, now)
        return layer

    def repairs(self) -> dict[int, PublishedTrack]:
        """Return whose retransmissions have which SSRC."""
        return {ssrc: self._layers[layer] for layer, ssrc in self._repairs.items() if layer in self._layers}

    def add(self, follower: Follower, now: float) -> None:
        """Have a subscriber follow one of the layers from now on; harmless twice."""
        self._followers[follower] = None
        self.direct(follower, now)

    def remove(self, follower: Follower) -> None:
        """Forward to a subscriber no more; harmless twice."""
        if follower in self._followers:
            del self._followers[follower]
            follower.leave()

    def direct(self, follower: Follower, now: float) -> None:
        """Send a follower to the layer that it wants, or to the one that there is."""
        if follower not in self._followers:
            return
        here = [layer for layer in LAYERS if layer in self._layers and not self._heard[layer].is_silent(now)]
        if follower.wanted in here:
            follower.follow(self._layers[follower.wanted], now)
        elif here:
            follower.follow(self._layers[here[0]], now)

    def mute(self, now: float, *, muted: bool) -> None:
        """Forward nothing, or forward again; harmless twice."""
        self._muted = muted
        for layer in self._layers.values():
            layer.mute(now, muted=muted)

    def close(self) -> None:
        """Forward to nobody any more, and send nothing again."""
        for layer in self._layers.values():
            layer.close()

    def tick(self, now: float) -> None:
        """Repeat what was asked for, and see which layers are still sent; to be called some times a second."""
        for name, layer in self._layers.items():
            layer.tick(now)
            self._heard[name].look(layer.packets, now)
        for follower in self._followers:
            follower.tick(now)
            self.direct(follower, now)

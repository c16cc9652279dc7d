"""The nouns of the server that records, matching and gallery share.

A *key* is an integer that the server gives to a row (`tracklet_key`, `camera_key`, `spool_key`); keys never leave it.
Names that edges choose (`edge_id`, `camid`, `tracklet_id`) and `person_id`, which the server chooses, do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from reid.types import BoolArray, Box, FloatArray, IntArray

NO_PERSON = 0
"""Stands for "not assigned yet"; real person_ids start at 1."""

_CAMERA_BITS = 20
MAX_CAMERAS = 1 << _CAMERA_BITS


Role = Literal["operator", "viewer", "system"]
"""An operator may change identities, a viewer may only look, the system acts by itself."""


class Actor(NamedTuple):
    """Who does something: a person behind a token or certificate, or the server itself."""

    name: str
    role: Role


class Camera(NamedTuple):
    """A camera, as its edge names it. Two edges may use the same camid for different cameras."""

    edge_id: str
    camid: str


class Spool(NamedTuple):
    """One spool of one edge; sequence numbers count within it."""

    edge_id: str
    spool_id: str


class CropName(NamedTuple):
    """Names a crop within the server: by the observation that it shows."""

    spool_key: int
    seq: int


class TrackletName(NamedTuple):
    """Names a tracklet within the server: what its edge called it, where, and in what space it was embedded.

    An edge begins new tracklets when it changes its release; one that does not has two of one number.
    """

    camera_key: int
    tracklet_id: int
    space: str


class CameraSpan(NamedTuple):
    """A span of time in one camera, both ends included, microseconds since the Unix epoch."""

    camera_key: int
    start_us: int
    end_us: int


class Stay(NamedTuple):
    """Who was in view of which camera, and when: a tracklet in short; microseconds since the Unix epoch."""

    person_id: int
    camera_key: int
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where and when to search. Whatever lies in one of the cameras and shares a moment with the span is in it.

    Attributes:
        camera_keys: Cameras to look in; empty for all.
        start_us: From when, microseconds since the Unix epoch.
        end_us: Until when, itself included.
    """

    camera_keys: frozenset[int] = frozenset()
    start_us: int = -(1 << 63)
    end_us: int = (1 << 63) - 1

    @property
    def is_everything(self) -> bool:
        """Leaves nothing out."""
        return self == EVERYTHING

    def covers(self, spans_N3: IntArray) -> BoolArray:
        """Which spans, rows of (camera_key, start_us, end_us), are in it: (N,) bool."""
        covered = (spans_N3[:, 1] <= self.end_us) & (spans_N3[:, 2] >= self.start_us)
        if self.camera_keys:
            covered &= np.isin(spans_N3[:, 0], list(self.camera_keys))
        return covered


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolState:
    """How far a spool has been stored.

    Attributes:
        spool_key: Key of the row.
        acked_seq: Everything up to here is durable, or was judged and refused for good; 0 for nothing.
        num_observations: How many observations of it are stored.
        last_seen_us: When its latest batch was stored, microseconds since the Unix epoch, server's clock.
    """

    spool_key: int
    acked_seq: int = 0
    num_observations: int = 0
    last_seen_us: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Tracklet:
    """One person in one camera for one span of time, pooled. Changed in place by its one owner.

    Attributes:
        tracklet_key: Key of the row; rises in the order in which tracklets were first seen.
        camera_key: Its camera.
        tracklet_id: The edge's name for it.
        space: Of all embeddings that came of it.
        start_us: Time of its first observation.
        end_us: Time of its last observation so far.
        num_observations: How many were pooled.
        weight: Sum of their weights.
        embedding_sum: (D,) float32, weighted sum of their embeddings, brought into the space that memory is in.
        native_sum: The same sum in its own space, as records keep it; None if that is the one that memory is in.
        mean: (D,) float32, unit norm: where it was embedded again from its crops by the release that memory is in. Then
            `embedding_sum` is this mean times the weight. None for all others.
        person_id: Who it is, or `NO_PERSON`.
        is_closed: The edge said that it has ended.
        updated_us: When its latest observation was stored, server's clock.
    """

    tracklet_key: int
    camera_key: int
    tracklet_id: int
    space: str
    start_us: int
    end_us: int
    num_observations: int
    weight: float
    embedding_sum: FloatArray
    native_sum: FloatArray | None = None
    mean: FloatArray | None = None
    person_id: int = NO_PERSON
    is_closed: bool = False
    updated_us: int = 0

    @property
    def name(self) -> TrackletName:
        """What its edge called it, where, and in what space."""
        return TrackletName(self.camera_key, self.tracklet_id, self.space)

    @property
    def span(self) -> CameraSpan:
        """Where and when it was seen."""
        return CameraSpan(self.camera_key, self.start_us, self.end_us)


class Views(NamedTuple):
    """Single observations of some persons.

    Attributes:
        person_ids: int64 (N,).
        camera_keys: int64 (N,).
        embeddings: float32 (N, D), unit norm up to the rounding of halves.
    """

    person_ids: IntArray
    camera_keys: IntArray
    embeddings: FloatArray


class PrototypeRef(NamedTuple):
    """Names a prototype: one person in one camera."""

    person_id: int
    camera_key: int

    @property
    def prototype_key(self) -> int:
        """One int64 for both, as a gallery stores it."""
        return self.person_id << _CAMERA_BITS | self.camera_key

    @classmethod
    def from_key(cls, prototype_key: int) -> PrototypeRef:
        """Undo `prototype_key`."""
        return cls(prototype_key >> _CAMERA_BITS, prototype_key & (MAX_CAMERAS - 1))


def person_ids_of(prototype_keys: IntArray) -> IntArray:
    """The persons of prototypes, int64 of any shape: `PrototypeRef.from_key` for many at once."""
    return prototype_keys >> _CAMERA_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonSummary:
    """What is known of one person, over all of their tracklets.

    Attributes:
        name: Empty unless an operator gave one.
        is_provisional: Too little was seen to rest an identity on.
    """

    person_id: int
    camids: tuple[str, ...]
    num_tracklets: int
    num_observations: int
    start_us: int
    end_us: int
    name: str = ""
    is_provisional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One observation of a tracklet without its embedding."""

    time_us: int
    box: Box
    quality: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackletSummary:
    """One tracklet as operators see it; `sightings` are in order of time, and empty unless asked for."""

    camera: Camera
    tracklet_id: int
    person_id: int
    start_us: int
    end_us: int
    num_observations: int
    sightings: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSummary:
    """What is stored of one edge, over all of its spools; `acked_seq` is that of the spool seen last."""

    edge_id: str
    num_observations: int
    acked_seq: int
    last_seen_us: int
    camids: tuple[str, ...]
    is_connected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much is stored; `num_persons` are confirmed."""

    num_observations: int
    num_tracklets: int
    num_persons: int
    num_provisional: int = 0

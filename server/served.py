"""What a server serves: one release at a time, exchanged for another without a pause.

Whoever asks takes `Served.now` once and goes by it to the end: its embedder, gallery and spaces belong together.
"""

from __future__ import annotations

from dataclasses import dataclass

from reid.embedder import Embedder
from reid.release import Release
from server.gallery.gallery import Gallery
from server.spaces import ServedSpace, Spaces


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What is served at one moment.

    Attributes:
        release: Memory and gallery are in its space.
        embedder: Its network, for photos.
        spaces: Lead into its space.
        gallery: Prototypes of all persons, in its space.
    """

    release: Release
    embedder: Embedder
    spaces: Spaces
    gallery: Gallery

    @property
    def threshold(self) -> float:
        """Least cosine of one person's tracklets."""
        return self.spaces.served.threshold


class Served:
    """Holds what is served now. Any thread may ask; the writer's alone changes it.

    Attributes:
        now: Replaced whole.
    """

    def __init__(self, now: Serving) -> None:
        self.now = now

    @property
    def spaces(self) -> Spaces:
        """Those of now."""
        return self.now.spaces


def served_space(release: Release) -> ServedSpace:
    """The space of a release, as memory takes it."""
    manifest = release.manifest
    return ServedSpace(space=manifest.space, dim=manifest.dim, threshold=manifest.thresholds.match)

"""A camera of the simulated site. Needs no hardware and no video: for demo, tests and load tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import parse_qsl

from edge.errors import SourceError
from edge.frames import Frame
from reid.errors import ConfigError
from reid.settings import Settings, parse_settings
from simulation.detections import DetectionNoise, noisy_detections
from simulation.looks import Difficulty
from simulation.site import SimulatedSite, SiteConfig

_SITE = SiteConfig()
_NOISE = DetectionNoise()


class SimulatedCamera(Settings):
    """What the uri `sim:?key=value&…` may say; the limits are those of `SiteConfig` and `DetectionNoise`."""

    camera: str = "c1"
    """Which camera of the site: c1, c2, …"""
    seed: int = _SITE.seed
    """Same seed, same site; cameras of one site are given the same keys, save `camera`."""
    people: int = _SITE.num_people
    """People who walk about."""
    cameras: int = _SITE.num_cameras
    """Cameras of the site."""
    duration_s: float = _SITE.duration_s
    """Length of the recording."""
    fps_hz: float = _SITE.fps_hz
    """Frames a second."""
    width_px: int = _SITE.width_px
    """Width of the frames."""
    height_px: int = _SITE.height_px
    """Height of the frames."""
    difficulty: Difficulty = _SITE.difficulty
    """How alike people dress and how much cameras differ."""
    jitter: float = _NOISE.jitter
    """Error of the boxes in `Frame.truth`, as a share of their size."""
    miss_rate: float = _NOISE.miss_rate
    """Share of visible people that `Frame.truth` leaves out."""
    ghost_rate: float = _NOISE.ghost_rate
    """Chance of a box around nothing, a frame."""
    starts_at_s: float = 0.0
    """Unix time of the first frame; frames then come no sooner than a camera would give them. 0: as fast as they are
    read."""

    def site(self) -> SiteConfig:
        """The site.

        Raises:
            ConfigError: A value is out of range.
        """
        values = {
            "seed": self.seed,
            "num_people": self.people,
            "num_cameras": self.cameras,
            "duration_s": self.duration_s,
            "fps_hz": self.fps_hz,
            "width_px": self.width_px,
            "height_px": self.height_px,
            "difficulty": self.difficulty,
        }
        return parse_settings(SiteConfig, values, source="simulated site")

    def noise(self) -> DetectionNoise:
        """The errors of the boxes.

        Raises:
            ConfigError: A value is out of range.
        """
        values = {"jitter": self.jitter, "miss_rate": self.miss_rate, "ghost_rate": self.ghost_rate}
        return parse_settings(DetectionNoise, values, source="simulated detector")


class SimulatedSource:
    """Renders one camera of a simulated site, frame by frame, as fast as it is read or at the pace of a camera.

    `Frame.truth` holds what an ordinary detector would find: seeded by site, camera and frame.

    Args:
        uri: `sim:` or `sim:?key=value&…`, keys as in `SimulatedCamera`.
        start_time_us: Time of the first frame; the same for all cameras of a site.
        clock: Unix time, seconds.
        sleep: Waits for some seconds.

    Raises:
        SourceError: A key is unknown or a value is not valid.
    """

    is_live = False

    def __init__(
        self,
        uri: str,
        *,
        start_time_us: int,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            wanted = _parse(uri)
            self._site = SimulatedSite(wanted.site())
            self._noise = wanted.noise()
        except ConfigError as error:
            raise SourceError(f"{uri!r}: {error}") from None
        if wanted.camera not in self._site.camids:
            raise SourceError(f"{uri!r}: no camera {wanted.camera!r}, this site has {', '.join(self._site.camids)}")
        self._camera = wanted.camera
        self._start_time_us = start_time_us
        self.frame_rate_hz = wanted.fps_hz
        self._starts_at_s = wanted.starts_at_s
        self._clock = clock
        self._sleep = sleep
        self._next_index = 0

    def read(self) -> Frame | None:
        """See `FrameSource.read`."""
        index = self._next_index
        if index >= self._site.num_frames:
            return None
        self._next_index += 1
        due_s = self._starts_at_s + index / self.frame_rate_hz - self._clock()
        if due_s > 0:
            self._sleep(due_s)
        rendered = self._site.frame(self._camera, index)
        truth = noisy_detections(rendered.people, self._site.config, camid=self._camera, index=index, noise=self._noise)
        return Frame(rendered.image, self._start_time_us + round(index * 1e6 / self.frame_rate_hz), index, truth)

    def close(self) -> None:
        """See `FrameSource.close`."""


def _parse(uri: str) -> SimulatedCamera:
    query = uri.removeprefix("sim:").removeprefix("?")
    try:
        pairs = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if query else {}
    except ValueError:
        raise ConfigError("wanted key=value&key=value after 'sim:?'") from None
    return parse_settings(SimulatedCamera, pairs, source="simulated camera")

"""The parts of `benchmarks.latency`, one after another, on one release."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.instruments.latency.contestants import BATCHES, Contestant, Missing, our_contestants
from benchmarks.instruments.latency.energy import find_meters, joules_per_call
from benchmarks.instruments.latency.memory import measure_memory
from benchmarks.instruments.latency.release import SCALABLE, other_release
from benchmarks.instruments.latency.rivals import EAGER, torch_contestants, zoo_contestants
from benchmarks.instruments.latency.scene import Scene, boxes_of_height, draw_scene, record
from benchmarks.instruments.latency.spread import spread_of, times_in_turn
from benchmarks.instruments.latency.stream import StreamPlan, measure_streams
from benchmarks.instruments.latency.swap import measure_swaps, ways_to_prepare
from edge.backends.registry import BACKENDS
from reid.errors import OspreyError
from reid.preprocess import network_input
from reid.release import Release

PARTS = ("model", "crops", "streams", "swaps")
LEAST_COSINE = 0.999
"""Of what may be the headline."""
_PROBLEMS = (RuntimeError, ValueError, OSError, subprocess.SubprocessError, OspreyError)
"""What may go wrong in one part without an end to the others; it is named."""
_HEIGHTS_PX = (100, 200, 300, 400, 600)
_BEST_AT = (1, 32)
"""Batches by which the fastest is found."""
_PREPROCESS = "preprocess"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        batches: Of the model alone.
        crop_batches: Of crops to embeddings.
        times_s: For each contestant and batch.
        cameras: Numbers of cameras.
        stream_s: For each of them.
        warm_up_s: Before that.
        pictures: In the cameras' recording, 10 a second.
        swaps: Releases that are installed.
        calm_s: Load without an install.
        compiles: Let torch.compile take part.
        all_swaps: Swap on every back end, in its first precision, and not on the best alone.
        costs: Measure memory and energy.
    """

    batches: tuple[int, ...] = BATCHES
    crop_batches: tuple[int, ...] = BATCHES
    times_s: float = 0.9
    cameras: tuple[int, ...] = (1, 4, 8)
    stream_s: float = 15.0
    warm_up_s: float = 3.0
    pictures: int = 50
    swaps: int = 3
    calm_s: float = 2.0
    compiles: bool = True
    all_swaps: bool = True
    costs: bool = True


class Course:
    """Measures a release on this machine.

    Args:
        release: It.
        effort: How much.
        num_threads: Threads of one call; 0 for as many as there are cores.
        zoo: Folder of the public networks.
        say: Takes a line for whoever waits.
    """

    def __init__(
        self, release: Release, effort: Effort, *, num_threads: int, zoo: Path, say: Callable[[str], None]
    ) -> None:
        self._release = release
        self._effort = effort
        self._num_threads = num_threads
        self._zoo = zoo
        self._say = say
        self._missing: Missing = {}
        self._figures: dict[str, float] = {}
        self._details: dict[str, Any] = {"release": str(release.ref), "num_threads": num_threads}

    def run(self, parts: Sequence[str]) -> tuple[dict[str, float], dict[str, Any]]:
        """Measure some of `PARTS`; returns figures and details.

        Raises:
            OspreyError: No back end runs the release.
        """
        with tempfile.TemporaryDirectory(prefix="osprey_latency_") as name:
            folder = Path(name)
            self._say("opening")
            ours, rivals, scene = *self._open(), draw_scene()
            best = self._best(ours, rivals, scene)
            if "model" in parts:
                self._measure_model([*ours, *rivals], scene)
            if "crops" in parts:
                self._measure_crops([*ours, *rivals], scene, best)
            if self._effort.costs and "crops" in parts:
                self._measure_costs(ours, scene)
            if "swaps" in parts:
                self._measure_swaps(ours, best, scene, folder)
            if "streams" in parts:
                self._measure_streams(best, folder)
        self._details["missing"] = self._missing
        return self._figures, self._details

    def _open(self) -> tuple[list[Contestant], list[Contestant]]:
        ours, missing = our_contestants(self._release, num_threads=self._num_threads)
        if not ours:
            raise RuntimeError(f"no back end runs {self._release.ref}: {missing}")
        torch_ones, torch_missing, compiling = torch_contestants(
            self._release, num_threads=self._num_threads, compiles=self._effort.compiles
        )
        zoo_ones, zoo_missing = zoo_contestants(self._zoo, num_threads=self._num_threads)
        self._missing |= missing | torch_missing | zoo_missing
        self._details["torch_compile"] = compiling
        return ours, [*torch_ones, *zoo_ones]

    def _best(self, ours: Sequence[Contestant], rivals: Sequence[Contestant], scene: Scene) -> Contestant:
        """The fastest of ours from crops to embeddings, by the product of its times, of those that are right enough."""
        crops = np.concatenate([scene.crops, self._release.golden.crops])
        reference = next((one for one in rivals if one.name == EAGER), ours[0])
        expected = reference.run(reference.prepare(crops))
        cosines = {one.name: float(np.sum(one.run(crops) * expected, axis=1).min()) for one in ours}
        right = [one for one in ours if cosines[one.name] >= LEAST_COSINE]
        if not right:
            raise RuntimeError(f"no back end comes to a cosine of {LEAST_COSINE} with {reference.name}: {cosines}")
        spreads = [
            self._spreads({one.name: partial(one.from_frame, scene.image, scene.boxes[:batch]) for one in right})
            for batch in _BEST_AT
        ]
        best = min(right, key=lambda one: math.prod(times[one.name]["p50_ms"] for times in spreads))
        self._figures["cosine_min"] = cosines[best.name]
        self._details |= {"best": best.name, "cosines": cosines, "cosines_to": reference.name}
        return best

    def _measure_model(self, contestants: Sequence[Contestant], scene: Scene) -> None:
        self._details["model"] = {}
        for batch in self._effort.batches:
            self._say(f"model alone, batch {batch}")
            crops = scene.crops[:batch]
            calls = {one.name: partial(one.run, one.prepare(crops)) for one in contestants if batch in one.batches}
            self._details["model"][str(batch)] = self._spreads(calls)

    def _measure_crops(self, contestants: Sequence[Contestant], scene: Scene, best: Contestant) -> None:
        self._details["crops"] = {}
        for batch in self._effort.crop_batches:
            self._say(f"crops to embeddings, batch {batch}")
            boxes = scene.boxes[:batch]
            able = [one for one in contestants if batch in one.batches]
            spreads = self._spreads({one.name: partial(one.from_frame, scene.image, boxes) for one in able})
            self._details["crops"][str(batch)] = spreads
            if EAGER in spreads:
                self._figures[f"speedup_b{batch}"] = spreads[EAGER]["p50_ms"] / spreads[best.name]["p50_ms"]
        self._measure_preprocess(scene)

    def _measure_preprocess(self, scene: Scene) -> None:
        boxes_by_height = {str(height): boxes_of_height(scene, height) for height in _HEIGHTS_PX}
        boxes_of = {_PREPROCESS: scene.boxes, **boxes_by_height}
        spreads = self._spreads({name: partial(network_input, scene.image, boxes) for name, boxes in boxes_of.items()})
        ms = {name: round(spread["p50_ms"] / len(boxes_of[name]), 4) for name, spread in spreads.items()}
        self._figures["preprocess_ms"] = ms.pop(_PREPROCESS)
        sizes = [(round(box.width_px), round(box.height_px)) for box in scene.boxes]
        self._details["preprocess"] = {"ms_by_height": ms, "boxes_px": sizes}

    def _spreads(self, calls: Mapping[str, Callable[[], object]]) -> dict[str, dict[str, float]]:
        times_ms = times_in_turn(calls, budget_s=self._effort.times_s * len(calls), clock=time.perf_counter)
        return {name: spread_of(times).to_json() for name, times in times_ms.items()}

    def _measure_costs(self, ours: Sequence[Contestant], scene: Scene) -> None:
        self._say("memory and energy")
        memory = self._details["memory"] = {}
        for name in (*(one.name for one in ours), "torch fp32"):
            backend, precision = name.split()
            try:
                memory[name] = measure_memory(self._release.folder, backend, precision, num_threads=self._num_threads)
            except _PROBLEMS as error:
                self._missing[f"memory of {name}"] = str(error)
        meters, missing = find_meters()
        self._missing |= {f"energy by {name}": reason for name, reason in missing.items()}
        crops = scene.crops
        self._details["energy"] = {
            meter.name: {
                one.name: 1e3 * joules_per_call(meter, partial(one.run, crops), seconds=2.0) / len(crops)
                for one in ours
            }
            for meter in meters
        }

    def _measure_swaps(self, ours: Sequence[Contestant], best: Contestant, scene: Scene, folder: Path) -> None:
        swaps: dict[str, dict[str, Any]] = {}
        able = [one for one in reversed(ours) if one.name.split()[1] in SCALABLE and self._effort.all_swaps]
        for one in {**{one.name.split()[0]: one for one in able}, best.name.split()[0]: best}.values():
            self._say(f"swaps on {one.name}")
            try:
                swaps[one.name] = self._swap(one, scene, folder / one.name.replace(" ", "_"))
            except _PROBLEMS as error:
                self._missing[f"swaps on {one.name}"] = str(error)
        self._details["swaps"] = swaps
        if best.name in swaps:
            as_installed = next(iter(swaps[best.name].values()))
            self._figures["swap_gap_ms"] = as_installed["gap_ms"]

    def _swap(self, one: Contestant, scene: Scene, folder: Path) -> dict[str, Any]:
        backend, precision = one.name.split()
        assert one.embedder is not None  # it is one of ours
        if precision not in SCALABLE:
            raise RuntimeError(f"no second release is made in {precision}: its scales belong to its weights")
        found: dict[str, Any] = {}
        for way, prepare in ways_to_prepare(one.embedder, self._num_threads).items():
            numbers = range(1, self._effort.swaps + 1)
            releases = [other_release(self._release, folder / way / str(number), number=number) for number in numbers]
            embedder = BACKENDS[backend].open(self._release, precision, self._num_threads)
            found[way] = measure_swaps(embedder, releases, scene.crops, prepare, calm_s=self._effort.calm_s)
        return found

    def _measure_streams(self, best: Contestant, folder: Path) -> None:
        self._say("frames to acknowledgements")
        release = folder / "release"
        shutil.copytree(self._release.folder, release)
        plan = StreamPlan(
            release=release,
            backend=best.name.split()[0],
            recording=record(num_pictures=self._effort.pictures, rate_hz=10.0),
            numbers=self._effort.cameras,
            warm_up_s=self._effort.warm_up_s,
            seconds=self._effort.stream_s,
        )
        try:
            streams = measure_streams(plan, folder)
        except _PROBLEMS as error:
            self._missing["frame to acknowledgement"] = str(error)
            return
        self._details |= {"streams": streams, "people_in_view": plan.recording.mean_people}
        for number, run in streams.items():
            self._figures[f"frame_to_ack_p99_ms_{number}cam"] = run["frame"]["p99_ms"]

"""Who is who across cameras: the server against a plain nearest-prototype matcher.

Each scene is played to the server's own ingestion in order of time. The baseline gets the threshold that is best on the
very scene it is judged on, which nobody has in practice; the server gets the one its release was calibrated to.
Precision and recall are of pairs of tracklets from different cameras; the curves show them as the threshold moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import RESULTS, Outcome, flags, publish
from benchmarks.instruments.identity.baseline import nearest_prototype
from benchmarks.instruments.identity.market import read_market
from benchmarks.instruments.identity.plot import Curve, plot_curves
from benchmarks.instruments.identity.replay import replay
from benchmarks.instruments.identity.scene import Scene
from benchmarks.instruments.identity.scores import SceneScores, score
from benchmarks.instruments.identity.site import read_site
from reid.logs import configure_logs
from reid.release import load_release
from server.settings import DEFAULT_RELEASE
from simulation.looks import Difficulty
from simulation.site import SiteConfig
from train.crop_cache import DEFAULT_CACHE

NAME = "identity"
_DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
_SITE = SiteConfig(seed=7, num_people=24, num_cameras=4, duration_s=180.0, fps_hz=5.0)
_QUICK_SITE = SiteConfig(seed=7, num_people=8, num_cameras=2, duration_s=20.0, fps_hz=5.0)
_BASELINE_STEP = 0.02
_CURVE_STEP = 0.05
_CURVE_REACH = 0.1
"""How far below and above the calibrated threshold the curves go."""


@dataclass(frozen=True)
class Judged:
    """One scene, with every way of deciding it.

    Attributes:
        baseline: At each threshold.
        online: At each threshold, the calibrated one among them.
        consolidated: Likewise, after a consolidation of all that was decided online.
        threshold: The calibrated one.
        observations_per_s: Of the replay, commits included.
    """

    baseline: Curve
    online: Curve
    consolidated: Curve
    threshold: float
    observations_per_s: float

    @property
    def best_baseline(self) -> tuple[float, SceneScores]:
        """The one of the highest IDF1."""
        return max(self.baseline, key=lambda point: point[1].idf1)

    @property
    def served(self) -> SceneScores:
        """The server's online, at the calibrated threshold."""
        return dict(self.online)[self.threshold]

    @property
    def settled(self) -> SceneScores:
        """The server's after consolidation, at the calibrated threshold."""
        return dict(self.consolidated)[self.threshold]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, publish and plot."""
    parser = flags(NAME, "Identities across cameras: server against nearest prototype.")
    parser.add_argument("--market", type=Path, help="folder of Market-1501's training part")
    parser.add_argument(
        "--market-release", type=Path, help="release for it, which has not seen its people (needed with --market)"
    )
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder for crops and embeddings")
    chosen = parser.parse_args(arguments)
    if (chosen.market is None) != (chosen.market_release is None):
        parser.error("--market and --market-release go together")
    configure_logs(level="warning")
    judged = {}
    for scene in _scenes(chosen.market, chosen.market_release, chosen.cache, quick=chosen.quick):
        judged[scene.name] = judge(scene, quick=chosen.quick)
        if not chosen.json:
            _show(scene, judged[scene.name])
    publish(NAME, _outcome(judged), quick=chosen.quick)
    if not chosen.quick:
        plot_curves(
            RESULTS / f"{NAME}.png",
            {
                name: {"nearest prototype": ways.baseline, "online": ways.online, "consolidated": ways.consolidated}
                for name, ways in judged.items()
            },
            {name: ways.threshold for name, ways in judged.items()},
        )


def judge(scene: Scene, *, quick: bool) -> Judged:
    """Decide a scene in every way.

    Args:
        scene: What cameras sent.
        quick: Leave the curve of the server out.
    """
    calibrated = scene.similarity.threshold
    reach = 0.0 if quick else _CURVE_REACH
    steps = np.round(np.arange(-reach, reach + 1e-6, _CURVE_STEP), 6).tolist() if reach else [0.0]
    thresholds = [calibrated + step for step in steps if calibrated + step < 1]
    replays = {threshold: replay(scene, threshold=threshold) for threshold in thresholds}
    return Judged(
        baseline=[
            (threshold, score(scene, nearest_prototype(scene, threshold=threshold)))
            for threshold in np.arange(0.4, 0.99, _BASELINE_STEP).tolist()
        ],
        online=[(threshold, score(scene, done.online)) for threshold, done in replays.items()],
        consolidated=[(threshold, score(scene, done.consolidated)) for threshold, done in replays.items()],
        threshold=calibrated,
        observations_per_s=len(scene) / replays[calibrated].seconds,
    )


def _scenes(market: Path | None, market_release: Path | None, cache: Path, *, quick: bool) -> Iterator[Scene]:
    release = load_release(DEFAULT_RELEASE)
    for difficulty in _DIFFICULTIES[1:2] if quick else _DIFFICULTIES:
        site = (_QUICK_SITE if quick else _SITE).model_copy(update={"difficulty": difficulty})
        yield read_site(site, release, cache)
    if market is not None and market_release is not None:
        yield read_market(market, load_release(market_release), cache)


def _outcome(judged: dict[str, Judged]) -> Outcome:
    figures: dict[str, float] = {}
    details = {}
    for name, ways in judged.items():
        threshold, baseline = ways.best_baseline
        figures[f"idf1_baseline_{name}"] = baseline.idf1
        figures[f"idf1_online_{name}"] = ways.served.idf1
        figures[f"idf1_consolidated_{name}"] = ways.settled.idf1
        figures[f"pairwise_precision_{name}"] = ways.settled.precision
        figures[f"pairwise_recall_{name}"] = ways.settled.recall
        figures[f"pairwise_precision_online_{name}"] = ways.served.precision
        figures[f"pairwise_recall_online_{name}"] = ways.served.recall
        details[name] = {
            "baseline": {"threshold": threshold, **baseline.to_json()},
            "online": {"threshold": ways.threshold, **ways.served.to_json()},
            "consolidated": {"threshold": ways.threshold, **ways.settled.to_json()},
            "online_observations_per_s": ways.observations_per_s,
            "curve_baseline": [{"threshold": value, **scores.to_json()} for value, scores in ways.baseline],
            "curve_online": [{"threshold": value, **scores.to_json()} for value, scores in ways.online],
            "curve_consolidated": [{"threshold": value, **scores.to_json()} for value, scores in ways.consolidated],
        }
    return Outcome(figures=figures, details=details)


def _show(scene: Scene, ways: Judged) -> None:
    threshold, baseline = ways.best_baseline
    print(f"{scene.name}: {len(scene)} observations, {len(scene.rows_by_tracklet())} tracklets")
    for name, value, scores in (
        ("nearest prototype, best", threshold, baseline),
        ("online", ways.threshold, ways.served),
        ("consolidated", ways.threshold, ways.settled),
    ):
        print(
            f"  {name:24} at {value:.3f}: IDF1 {scores.idf1:.3f}  HOTA {scores.hota:.3f}  AssA {scores.ass_a:.3f}  "
            f"precision {scores.precision:.3f}  recall {scores.recall:.3f}  switches {scores.id_switches:4}  "
            f"fragments {scores.fragments:5.2f}  persons {scores.num_persons} of {scores.num_people}"
        )


if __name__ == "__main__":
    main()

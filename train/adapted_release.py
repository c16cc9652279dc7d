"""What the release of an adaptation run says about itself: its name, its origin, and its match threshold."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from reid.release import Thresholds
from reid.snapshot import Snapshot
from reid.types import check_name
from train.adapt import AdaptSettings
from train.calibrate import FALSE_MATCH_RATE, UNCALIBRATED, calibrate
from train.crop_cache import CachedCrops
from train.embed import embed_crops
from train.export import ReleaseDescription, as_release_name, made_now
from train.network import Network
from train.start import Start
from train.transfer import TransferSettings

_SCORES = ("mAP", "R1", "R5", "R10")


@dataclass(frozen=True, kw_only=True)
class AdaptedRun:
    """A run, as far as its release tells of it.

    Attributes:
        start: What it started from.
        recipe: Name of its recipe, as on the command line.
        settings: Its whole config.
        data: Options of the command line that name the data, for example `{"data": "market1501", "split": "all"}`.
        source: Options that name the labelled data that the run learned from too; empty if there were none.
        num_crops: Crops of the data; a few may have been unreadable.
        num_processes: Processes that shared it.
        snapshot: The data, where a server made them of its site.
    """

    start: Start
    recipe: str
    settings: AdaptSettings | TransferSettings
    data: Mapping[str, str]
    num_crops: int
    source: Mapping[str, str] = field(default_factory=dict)
    num_processes: int = 1
    snapshot: Snapshot | None = None

    @property
    def data_name(self) -> str:
        """Data set and split, for people."""
        if self.snapshot is not None:
            made = datetime.fromtimestamp(self.snapshot.made_us / 1e6, timezone.utc)
            return f"a snapshot of {len(self.snapshot.cameras)} cameras, {made:%Y-%m-%d %H:%M} UTC"
        return f"{self.data['data']} {self.data['split']}"


def name_and_version(start: Start, init: Path, name: str = "", version: str = "") -> tuple[str, str]:
    """What the release is called: by default the next of its parent's line, or the first of a checkpoint's.

    Args:
        start: What the run started from.
        init: Where that lies.
        name: Instead of the default, unless empty.
        version: The same.

    Raises:
        ConfigError: One of them is not fit for file names and logs.
    """
    parent = None if start.release is None else start.release.manifest
    name = name or (as_release_name(init.stem) if parent is None else parent.name)
    version = version or ("1" if parent is None else next_version(parent.version))
    return check_name(name, what="release name"), check_name(version, what="release version")


def next_version(version: str) -> str:
    """The version with its last number raised by one: `0.1.1` after `0.1.0`; and `a.2` after `a`."""
    match = re.search(r"\d+$", version)
    return f"{version}.2" if match is None else f"{version[: match.start()]}{int(match[0]) + 1}"


def carried_threshold(start: Start) -> Thresholds:
    """The parent's threshold, which says that it was found on other weights."""
    if start.release is None:
        return UNCALIBRATED
    parent = start.release.manifest
    how = f"that of its parent {parent.space}, not calibrated again after adapting; there: {parent.thresholds.how}"
    return Thresholds(match=parent.thresholds.match, how=how)


def calibrated_threshold(network: Network, test: CachedCrops, *, data_name: str) -> Thresholds:
    """The threshold found on labelled people whom the run did not see.

    Args:
        network: As trained.
        test: Query and gallery of the data set.
        data_name: Where they are from.

    Raises:
        DatasetError: There are too few people, cameras or pairs to find it.
    """
    found = calibrate(embed_crops(network, test.crops, precision="fp32"), test.samples)
    return Thresholds(
        match=found.tracklets.similarity,
        how=f"false-match rate {FALSE_MATCH_RATE:g} between {found.num_tracklets} pooled tracklets of "
        f"{found.num_pids} test identities of {data_name}, measured on this release",
    )


def describe(
    run: AdaptedRun,
    name: str,
    version: str,
    thresholds: Thresholds,
    figures: Mapping[str, float],
    *,
    aligned: float | None = None,
) -> ReleaseDescription:
    """Put together what the manifest says.

    Args:
        run: What was done.
        name: See `name_and_version`.
        version: See `name_and_version`.
        thresholds: Carried or calibrated.
        figures: Of the last epoch; scores among them are kept.
        aligned: How well the map from the parent's space fits crops that were held out, where there are any.
    """
    metrics = {score: figures[score] for score in _SCORES if score in figures}
    origin = {"metrics": f"on the test part of {run.data_name}"} if metrics else {}
    if aligned is not None:
        metrics["aligned_cosine"] = aligned
        origin["aligned_cosine"] = "mean between embeddings of held-out crops and those by the parent, aligned"
    return ReleaseDescription(
        name=name,
        version=version,
        thresholds=thresholds,
        provenance=_provenance(run) | origin,
        metrics=metrics,
        parent=None if run.start.release is None else run.start.release.manifest.space,
    )


def _provenance(run: AdaptedRun) -> dict[str, str]:
    # Where the weights lay says nothing elsewhere; which they were does.
    settings = run.settings.model_dump_json(exclude={"init": True, "style": {"folder": True}})
    return {
        "data": f"{run.data_name}, {run.num_crops} crops, labels not used",
        **({"source": f"{run.source['source']} {run.source['source-split']}, with its labels"} if run.source else {}),
        "method": run.recipe,
        "command": _command(run),
        "settings_sha256": hashlib.sha256(settings.encode()).hexdigest(),
        "init": Path(run.settings.init).name,
        "init_sha256": run.start.sha256,
        "processes": str(run.num_processes),
        **({} if run.snapshot is None else {f"snapshot.{key}": text for key, text in run.snapshot.provenance.items()}),
        **made_now(),
    }


def _command(run: AdaptedRun) -> str:
    settings = run.settings
    options = {
        "method": run.recipe,
        "init": Path(settings.init).name,
        "arch": settings.architecture,
        **run.data,
        **run.source,
        "seed": settings.seed,
        "epochs": settings.num_epochs,
    }
    words = [word for option, value in options.items() if value != "" for word in (f"--{option}", str(value))]
    if isinstance(settings, TransferSettings):
        if settings.style.folder:
            words += ["--styles", Path(settings.style.folder).name]
    elif settings.compatible.is_on:
        words.append("--compatible")
    elif run.snapshot is not None:
        words.append("--no-compatible")
    return shlex.join(["osprey-train", "adapt", *words])

"""The runs of `benchmarks.adaptation`, through the public command; complete ones are taken as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT
from reid.files import sha256_of
from train.adapt import AdaptSettings
from train.commands_adapt import RECIPES as ADAPT_RECIPES
from train.commands_supervised import RECIPES as SUPERVISED_RECIPES
from train.errors import TrainingError
from train.run_folder import CHECKPOINT_FILE, CONFIG_FILE, METRICS_FILE
from train.supervised import SupervisedSettings

DATASET = "market1501"
SPLIT = "500-251"
ARCHITECTURE = "osnet_x0_25"
SUPERVISED = "supervised"
_SUPERVISED_RECIPE = "fine-tune"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all runs have in common.

    Attributes:
        data_root: Where Market-1501 lies.
        checkpoint: What they start from.
        cache: Folder of the crop cache.
    """

    data_root: Path
    checkpoint: Path
    cache: Path


@dataclass(frozen=True, kw_only=True)
class Run:
    """One method with one seed, in a folder of its own.

    Attributes:
        method: A recipe of `osprey-train adapt`, or `supervised`.
        seed: Of the run.
        folder: Of the run.
        settings: What the recipe is now.
    """

    method: str
    seed: int
    folder: Path
    settings: AdaptSettings | SupervisedSettings

    @property
    def name(self) -> str:
        """Method and seed."""
        return f"{self.method}-{self.seed}"

    @property
    def history(self) -> list[dict[str, Any]]:
        """Figures of every finished epoch; empty where there is none."""
        return list(_json_of(self.folder / METRICS_FILE).get("epochs", []))

    @property
    def is_complete(self) -> bool:
        """Whether all its epochs are done."""
        return len(self.history) == self.settings.num_epochs

    @property
    def is_started(self) -> bool:
        """Whether it has something to go on from, or to be taken as it is."""
        return (self.folder / CHECKPOINT_FILE).exists() or bool(self.history)


def run_of(method: str, seed: int, runs: Path) -> Run:
    """The run of a method and a seed, as its recipe is now.

    Raises:
        KeyError: There is no such method.
    """
    recipe = SUPERVISED_RECIPES[_SUPERVISED_RECIPE] if method == SUPERVISED else ADAPT_RECIPES[method]
    known = {"seed": seed} if method == SUPERVISED else {"seed": seed, "architecture": ARCHITECTURE}
    settings = recipe().model_copy(update=known)
    return Run(method=method, seed=seed, folder=runs / f"{method}-{seed}", settings=settings)


def complete(run: Run, task: Task) -> None:
    """Bring a run to its end: start it, go on with it, or find that it is done.

    Raises:
        TrainingError: The folder holds a run of another config.
        CalledProcessError: The command failed; its error output was shown.
    """
    if run.is_started:
        check_config(run, task.checkpoint)
    if not run.is_complete:
        subprocess.run(command(run, task), cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def command(run: Run, task: Task) -> list[str]:
    """The public command that starts a run, or goes on with it."""
    if run.method == SUPERVISED:
        kind = ["supervised", "--recipe", _SUPERVISED_RECIPE]
    else:
        kind = ["adapt", "--method", run.method, "--arch", ARCHITECTURE]
    options = {
        "--init": task.checkpoint,
        "--seed": run.seed,
        "--data": DATASET,
        "--split": SPLIT,
        "--data-root": task.data_root,
        "--cache": task.cache,
        "--out": run.folder,
    }
    words = [word for option, value in options.items() for word in (option, str(value))]
    return [sys.executable, "-m", "train", *kind, *words, "--json", *(["--resume"] if run.is_started else [])]


def check_config(run: Run, checkpoint: Path) -> None:
    """Make sure that a folder holds the run that is asked for.

    Raises:
        TrainingError: It holds another; what differs is named.
    """
    found = _json_of(run.folder / CONFIG_FILE)
    differing = differences(found.get("settings", {}), run.settings)
    task = found.get("data", {})
    if (task.get("data", task.get("dataset")), task.get("split")) != (DATASET, SPLIT):
        differing.append("data")
    if found.get("init_sha256") != sha256_of(checkpoint):
        differing.append("init")
    if differing:
        raise TrainingError(
            f"{run.folder} is no run of today's recipe '{run.method}' with seed {run.seed}: "
            f"{', '.join(differing)} differ; give another --runs folder, or move that one away"
        )


def differences(found: Mapping[str, Any], wanted: AdaptSettings | SupervisedSettings) -> list[str]:
    """Options by which a stored config differs from a recipe, save the path of the weights.

    A run may be older than an option: one that it does not name had today's default, and one that is no more must have
    been off.

    Args:
        found: Settings as a run's folder has them.
        wanted: The recipe's.

    Returns:
        Dotted names.
    """
    old, new, default = _flat(found), _flat(wanted.model_dump(mode="json")), _defaults(wanted)
    names = sorted((old.keys() | new.keys()) - {"init"})
    return [name for name in names if not _agree(name, old, new, default)]


def _agree(name: str, old: Mapping[str, Any], new: Mapping[str, Any], default: Mapping[str, Any]) -> bool:
    if name not in new:
        return not old[name]
    return bool(old.get(name, default.get(name)) == new[name])


def _defaults(settings: AdaptSettings | SupervisedSettings) -> dict[str, Any]:
    if isinstance(settings, AdaptSettings):
        return _flat(AdaptSettings(method=type(settings.method)()).model_dump(mode="json"))
    return _flat(SupervisedSettings(stages=settings.stages).model_dump(mode="json"))


def _flat(values: Any, name: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    if not isinstance(values, dict | list):
        return {name: values}
    items = values.items() if isinstance(values, dict) else enumerate(values)
    prefix = f"{name}." if name else ""
    return {key: leaf for part, value in items for key, leaf in _flat(value, f"{prefix}{part}").items()}


def _json_of(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where there is none."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return values

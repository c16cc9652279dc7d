"""The command `adapt`: fit a network to a site, or to a data set whose labels are not used."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from reid.cli import EXIT_INTERRUPTED, AsJson, print_error, print_json
from reid.errors import ConfigError
from reid.logs import configure_logs
from reid.release import Release
from reid.snapshot import Snapshot, read_snapshot
from reid.types import FloatArray, IntArray
from train.adapt import Adapter, AdaptSettings
from train.adapted_release import AdaptedRun, name_and_version
from train.checkpoint import load_network, read_checkpoint
from train.commands_supervised import stop_on_signals
from train.crop_cache import DEFAULT_CACHE, load_crops
from train.datasets.registry import chosen_split, read_split, splits_help
from train.datasets.samples import Split
from train.datasets.snapshot import samples_of
from train.distributed import Ranks, join_ranks
from train.errors import TrainingError
from train.evaluator import evaluator_of
from train.memory import unit_means
from train.methods.ise import IseConfig, extend, extension_strength
from train.options import CacheFolder, DataName, DataRoot, Device, Epochs, Resume, RunOut, Seed
from train.plots import draw_projection
from train.progress_file import ProgressFile
from train.projection import PROJECTION_FILE, project, write_projection
from train.pseudo_labels import neighbouring_clusters
from train.recipes.ablations import ISE_ABLATIONS
from train.recipes.adaptation import (
    cluster_contrast,
    compatible_with_parent,
    ise,
    ise_market,
    ise_plus,
    ise_released,
    ise_source,
    refresh,
)
from train.recipes.transfer import (
    MAR_RECIPES,
    ecn,
    ecn_exemplar,
    ecn_exemplar_camera,
    ecn_exemplar_neighbourhood,
    ecn_fourier,
    ecn_paper,
    ecn_site,
    ecn_source,
    ecn_stargan,
    in_style_of,
)
from train.run_display import drawing, failure_in_words, progress_bar
from train.run_folder import RunFolder
from train.site import SiteCrops, site_of, site_of_snapshot
from train.source import SourceCrops, read_source
from train.speed import restart_with_fast_malloc
from train.start import read_start
from train.successor import Evidence, make_release
from train.transfer import Transfer, TransferSettings

RECIPES: dict[str, Callable[[], AdaptSettings]] = {
    "cluster-contrast": cluster_contrast,
    "ise": ise,
    "ise-source": ise_source,
    "ise-released": ise_released,
    "ise-plus": ise_plus,
    "ise-market": ise_market,
    "refresh": refresh,
    **ISE_ABLATIONS,
}
TRANSFER_RECIPES: dict[str, Callable[[], TransferSettings]] = {
    "ecn": ecn,
    "ecn-fourier": ecn_fourier,
    "ecn-stargan": ecn_stargan,
    "ecn-exemplar": ecn_exemplar,
    "ecn-exemplar-camera": ecn_exemplar_camera,
    "ecn-exemplar-neighbourhood": ecn_exemplar_neighbourhood,
    "ecn-source": ecn_source,
    "ecn-site": ecn_site,
    "ecn-paper": ecn_paper,
    **MAR_RECIPES,
}
"""Those that learn from a labelled source beside the site in a loop of their own."""
WITH_SOURCE = (*TRANSFER_RECIPES, "ise-source")
EXIT_FAILED = 1
"""Of a run that cannot go on; what is wrong before a run begins has the code of every other command."""
SNAPSHOT = "snapshot"

_PROJECTED_CLUSTERS = 10


InitPath = Annotated[Path, typer.Option("--init", metavar="RELEASE|CKPT", help="What to start from.")]
MethodName = Annotated[str, typer.Option("--method", help=f"One of: {', '.join(RECIPES | TRANSFER_RECIPES)}.")]
Arch = Annotated[str, typer.Option("--arch", help="Of a public checkpoint, for example osnet_x0_25 or resnet50.")]
SplitName = Annotated[str, typer.Option("--split", help=f"What adapts; else the first of {splits_help()}.")]
NamePattern = Annotated[str, typer.Option("--name-pattern", help="Of 'folder': groups camera, track, frame.")]
SourceName = Annotated[
    str, typer.Option("--source", help=f"Labelled data set, for {', '.join(WITH_SOURCE)}: as --data.")
]
SourceRoot = Annotated[Path | None, typer.Option("--source-root", metavar="DIR", help="Where the source lies.")]
SourceSplit = Annotated[str, typer.Option("--source-split", help="Whose training part is the source; as --split.")]
StylesFolder = Annotated[
    Path | None,
    typer.Option("--styles", metavar="DIR", help="Show crops in this style of 'style-transfer', for ecn…."),
]
Name = Annotated[str, typer.Option("--name", help="Of the release; by default its parent's.")]
Version = Annotated[str, typer.Option("--version", help="Of the release; by default the one after its parent's.")]
Calibrate = Annotated[
    bool, typer.Option("--calibrate", help="Find the match threshold with the labels of the data's test part.")
]
Compatible = Annotated[
    bool | None,
    typer.Option(
        "--compatible/--no-compatible",
        help="Hold new embeddings to those of --init; by default on a snapshot, whose server has old ones.",
    ),
]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard events too.")]


def adapt(
    init: InitPath,
    data_root: DataRoot,
    out: RunOut,
    method: MethodName = "ise",
    arch: Arch = "",
    data: DataName = "market1501",
    split: SplitName = "",
    name_pattern: NamePattern = "",
    source: SourceName = "",
    source_root: SourceRoot = None,
    source_split: SourceSplit = "",
    styles: StylesFolder = None,
    seed: Seed = None,
    epochs: Epochs = None,
    name: Name = "",
    version: Version = "",
    calibrate: Calibrate = False,
    compatible: Compatible = None,
    resume: Resume = False,
    tensorboard: Tensorboard = False,
    device: Device = "cpu",
    cache: CacheFolder = DEFAULT_CACHE,
    as_json: AsJson = False,
) -> None:
    """Adapt a network without labels: cluster, contrast against the clusters, repeat.

    Where a labelled data set is at hand, ecn…, mar… and ise-source learn from it beside the site: give --source and
    --source-root.

    The folder gets release/, final.pt, metrics.json, curves.png, progress.json (rewritten as the run goes on) and, for
    ISE, projection.png. A release adapted from another has the map from that one's space, and its graphs in fewer bits;
    on a snapshot its match threshold is found without labels.

    Labels of the data set, where it has any, are used to report, and by --calibrate; never to adapt. Ctrl-C stops; the
    same command with --resume goes on from the last finished epoch, to the same losses. Several GPUs: start it as
    'torchrun --nproc-per-node 4 -m train adapt … --device cuda'.

    Example: osprey-train adapt --method ise --init models/osnet_x0_25_default --data-root market1501 --out runs/site
    """
    restart_with_fast_malloc()
    settings = _settings(method, styles, init=str(init), architecture=arch, seed=seed, num_epochs=epochs)
    settings = _held_to_parent(settings, compatible, is_snapshot=data == SNAPSHOT)
    _check_source(method, settings, is_given=bool(source and source_root))
    start = read_start(init)
    called = name_and_version(start, init, name, version)
    split = chosen_split(data, split)
    chosen = read_split(data, data_root, split, name_pattern=name_pattern)
    if calibrate and not chosen.query:
        raise ConfigError(f"--calibrate needs labelled people to test on, and {data} {split} has none: leave it out")
    with join_ranks(device) as ranks:
        configure_logs(level="info" if ranks.is_first else "warning")
        run = AdaptedRun(
            start=start,
            recipe=method,
            settings=settings,
            data={"data": data, "split": split, "name-pattern": name_pattern},
            source={} if not source else {"source": source, "source-split": chosen_split(source, source_split)},
            num_crops=len(chosen.train),
            num_processes=ranks.size,
            snapshot=read_snapshot(data_root) if data == SNAPSHOT else None,
        )
        folder = ranks.from_first(lambda: RunFolder(out, run_config(run), resume=resume))
        site = _site(run, chosen, cache, ranks)
        evidence = _evidence(run, site, chosen, cache, calibrate=calibrate) if ranks.is_first else None
        learn_from = None if source_root is None or not source else _source(run, source_root, cache, ranks)
        adapter = _adapter(run, site, learn_from, chosen, folder, cache, ranks)
        _run_to_end(adapter, folder, settings, ranks, tensorboard=tensorboard)
        if evidence is not None:
            _export(run, called, adapter, folder, evidence, as_json=as_json)


def run_config(run: AdaptedRun) -> dict[str, Any]:
    """Everything that decides a run's outcome, as plain values for its `config.json`."""
    return {
        "method": run.recipe,
        "settings": run.settings.model_dump(mode="json"),
        "data": {**run.data, "num_crops": run.num_crops, **_identity(run.snapshot)},
        **({"source": dict(run.source)} if run.source else {}),
        "init_sha256": run.start.sha256,
        "num_processes": run.num_processes,
    }


def _identity(snapshot: Snapshot | None) -> dict[str, int]:
    """What tells a snapshot from others with as many crops."""
    return {} if snapshot is None else {"made_us": snapshot.made_us}


def _settings(method: str, styles: Path | None, **changes: Any) -> AdaptSettings | TransferSettings:
    recipes: dict[str, Callable[[], AdaptSettings | TransferSettings]] = {**RECIPES, **TRANSFER_RECIPES}
    if method not in recipes:
        raise ConfigError(f"unknown method '{method}'; known: {', '.join(recipes)}")
    settings = recipes[method]()
    if styles is not None:
        if not isinstance(settings, TransferSettings) or settings.style.kind == "none":
            raise ConfigError(f"{method} shows crops as they are: leave --styles out")
        settings = in_style_of(settings, str(styles))
    return settings.model_copy(update={key: value for key, value in changes.items() if value is not None})


def _held_to_parent(
    settings: AdaptSettings | TransferSettings, compatible: bool | None, *, is_snapshot: bool
) -> AdaptSettings | TransferSettings:
    if isinstance(settings, AdaptSettings):
        wanted = is_snapshot if compatible is None else compatible
        return compatible_with_parent(settings) if wanted else settings
    if compatible:
        raise ConfigError(f"{settings.method.method} has no compatibility term: leave --compatible out")
    return settings


def _check_source(method: str, settings: AdaptSettings | TransferSettings, *, is_given: bool) -> None:
    is_wanted = settings.takes_source
    if is_wanted and not is_given:
        raise ConfigError(f"{method} learns from a labelled data set too: give it by --source and --source-root")
    if is_given and not is_wanted:
        raise ConfigError(
            f"{method} takes no labelled data set: leave --source out, or choose one of {', '.join(WITH_SOURCE)}"
        )


def _source(run: AdaptedRun, root: Path, cache: Path, ranks: Ranks) -> SourceCrops:
    named = run.source["source"], root, run.source["source-split"]
    return ranks.first_before_others(lambda: read_source(*named, cache))


def _site(run: AdaptedRun, chosen: Split, cache: Path, ranks: Ranks) -> SiteCrops:
    cached = ranks.first_before_others(lambda: load_crops(chosen.train, cache))
    return site_of(cached) if run.snapshot is None else site_of_snapshot(cached, run.snapshot)


def _evidence(run: AdaptedRun, site: SiteCrops, chosen: Split, cache: Path, *, calibrate: bool) -> Evidence:
    """Read it before the run, so that a crop which is erased meanwhile does not cost the run."""
    test = load_crops(chosen.query + chosen.gallery, cache) if calibrate else None
    return Evidence(trained_on=site.crops, held_out=_held_out(run.snapshot, cache), test=test)


def _held_out(snapshot: Snapshot | None, cache: Path) -> SiteCrops | None:
    samples = () if snapshot is None else samples_of(snapshot, "held_out")
    if snapshot is None or not samples:
        return None
    return site_of_snapshot(load_crops(samples, cache), snapshot)


def _adapter(
    run: AdaptedRun,
    site: SiteCrops,
    source: SourceCrops | None,
    chosen: Split,
    folder: RunFolder,
    cache: Path,
    ranks: Ranks,
) -> Adapter | Transfer:
    evaluate = evaluator_of(chosen, cache) if ranks.is_first else None
    device = str(ranks.device)
    if isinstance(run.settings, AdaptSettings):
        return Adapter(run.settings, site, folder, source=source, evaluate=evaluate, device=device, ranks=ranks)
    assert source is not None  # see _check_source
    return Transfer(run.settings, source, site, folder, evaluate=evaluate, device=device, ranks=ranks)


def _draw_supports(folder: Path, feats: FloatArray, labels: IntArray, config: IseConfig) -> None:
    """Draw neighbouring clusters with their supports at the strength of the run's end."""
    near, near_labels = neighbouring_clusters(feats, labels, count=_PROJECTED_CLUSTERS)
    strength = config.direction_scale * extension_strength(config.extension, 1.0)
    tensors = torch.from_numpy(near), torch.from_numpy(near_labels)
    supports, support_labels = extend(*tensors, unit_means(*tensors), strength=strength)
    projection = project(near, near_labels, supports.numpy(), support_labels.numpy())
    draw_projection(folder / "projection.png", projection)
    write_projection(folder / PROJECTION_FILE, projection)


def _run_to_end(
    adapter: Adapter | Transfer,
    folder: RunFolder,
    settings: AdaptSettings | TransferSettings,
    ranks: Ranks,
    *,
    tensorboard: bool,
) -> None:
    """Run, drawing as it goes; leave the process with one line if the run failed, or with a word on how to go on."""
    num_steps = adapter.num_steps
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        show = stack.enter_context(progress_bar(settings.num_epochs, num_steps, is_shown=ranks.is_first))
        on_epoch = stack.enter_context(drawing(folder.path, tensorboard=tensorboard and ranks.is_first))
        note = ProgressFile(folder.path, num_epochs=settings.num_epochs, num_steps=num_steps)

        def on_step(epoch: int, step: int, loss: float) -> None:
            show(epoch, step, loss)
            if ranks.is_first:
                note(epoch, step, loss)

        try:
            is_complete = adapter.run(stop, on_step, on_epoch)
        except (TrainingError, MemoryError, RuntimeError) as error:
            print_error(failure_in_words(error))
            raise typer.Exit(EXIT_FAILED) from None
    if not is_complete:
        if ranks.is_first:
            typer.echo(folder.say_stopped(), err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    if isinstance(adapter, Adapter) and isinstance(settings.method, IseConfig):
        feats = adapter.embed()
        # A picture is not worth a run: where the last weights no longer cluster, there is none.
        with suppress(TrainingError):
            if ranks.is_first:
                _draw_supports(folder.path, feats, adapter.cluster(feats).labels_N, settings.method)


def _export(
    run: AdaptedRun,
    called: tuple[str, str],
    adapter: Adapter | Transfer,
    folder: RunFolder,
    evidence: Evidence,
    *,
    as_json: bool,
) -> None:
    network = load_network(read_checkpoint(folder.final_path))
    release = make_release(run, called, network, folder.release_path, evidence, adapter.history[-1])
    _report(adapter, folder, release, as_json=as_json)


def _report(adapter: Adapter | Transfer, folder: RunFolder, release: Release, *, as_json: bool) -> None:
    last = adapter.history[-1]
    if as_json:
        print_json({"release": release.folder, "space": release.ref.space, "final": folder.final_path, **last})
        return
    scores = "".join(f", {name} {last[name]:.1%}" for name in ("mAP", "R1", "R5") if name in last)
    typer.echo(f"release {release.ref} in {release.folder}")
    clusters = f", {last['num_clusters']} clusters" if "num_clusters" in last else ""
    typer.echo(f"loss {last['loss']:.3f}{clusters}{scores}")
    typer.echo(f"match threshold {release.manifest.thresholds.match:.4f}: {release.manifest.thresholds.how}")

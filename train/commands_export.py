"""Commands that turn weights into a release: `import-checkpoint` for public ones, `export` for ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reid.cli import AsJson, print_json, print_warning
from reid.files import sha256_of
from reid.release import Release, Thresholds
from train.calibrate import UNCALIBRATED
from train.checkpoint import Checkpoint, load_network, read_checkpoint
from train.errors import CheckpointError
from train.export import ReleaseDescription, as_release_name, export_release, made_now

CheckpointArgument = Annotated[
    Path, typer.Argument(metavar="CKPT", help="Weights in the layout of torchreid or torchvision (.pth, .pt).")
]
CheckpointOption = Annotated[
    Path, typer.Option("--checkpoint", metavar="FILE", help="What a training run left, for example final.pt.")
]
Arch = Annotated[
    str, typer.Option("--arch", help="For example osnet_x0_25, osnet_ibn_x1_0, osnet_ain_x1_0 or resnet50.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the release, made anew.")]
Name = Annotated[str, typer.Option("--name", help="Name of the line of releases; by default that of its origin.")]
Version = Annotated[str, typer.Option("--version", help="Version within the line.")]
Match = Annotated[
    float | None,
    typer.Option(
        "--match-threshold",
        min=-1,
        max=1,
        help=f"Cosine from which two tracklets are one person; without it {UNCALIBRATED.match}, not calibrated.",
    ),
]
How = Annotated[str, typer.Option("--threshold-how", help="How --match-threshold was found; kept in the manifest.")]
TrainedOn = Annotated[str, typer.Option("--trained-on", help="Data behind the weights; kept in the manifest.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the release that is in DIR.")]


def import_checkpoint(
    checkpoint: CheckpointArgument,
    arch: Arch,
    out: Out,
    name: Name = "",
    version: Version = "1",
    match_threshold: Match = None,
    threshold_how: How = "",
    trained_on: TrainedOn = "not stated",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a public checkpoint into a release.

    The weights must fit the architecture key by key; a classifier of any size is left out.

    Example: osprey-train import-checkpoint osnet_x0_25_msmt17.pth --arch osnet_x0_25 --out releases/msmt17
    """
    read = read_checkpoint(checkpoint)
    description = ReleaseDescription(
        name=name or as_release_name(checkpoint.stem),
        version=version,
        thresholds=_thresholds(match_threshold, threshold_how),
        provenance=_provenance("import-checkpoint", checkpoint, trained_on),
    )
    _report(_write(read, arch, out, description, force=force), as_json=as_json)


def export(
    checkpoint: CheckpointOption,
    out: Out,
    arch: Arch = "",
    name: Name = "",
    version: Version = "1",
    match_threshold: Match = None,
    threshold_how: How = "",
    trained_on: TrainedOn = "not stated",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a checkpoint of a training run into a release.

    The checkpoint knows its architecture; --arch, if given, must agree.

    Example: osprey-train export --checkpoint runs/site/final.pt --out releases/site-2 --name site --version 2
    """
    read = read_checkpoint(checkpoint)
    if arch and read.architecture and arch != read.architecture:
        raise CheckpointError(f"{checkpoint} is of {read.architecture}, not {arch}: leave --arch out")
    description = ReleaseDescription(
        name=name or as_release_name(checkpoint.resolve().parent.name),
        version=version,
        thresholds=_thresholds(match_threshold, threshold_how),
        provenance=_provenance("export", checkpoint, trained_on),
    )
    _report(_write(read, arch, out, description, force=force), as_json=as_json)


def _write(checkpoint: Checkpoint, arch: str, out: Path, description: ReleaseDescription, *, force: bool) -> Release:
    network = load_network(checkpoint, arch)
    out.parent.mkdir(parents=True, exist_ok=True)
    return export_release(network, out, description, force=force)


def _thresholds(match: float | None, how: str) -> Thresholds:
    if match is None:
        return UNCALIBRATED
    return Thresholds(match=match, how=how or "given on the command line")


def _provenance(command: str, checkpoint: Path, trained_on: str) -> dict[str, str]:
    return {
        "data": trained_on,
        "command": f"osprey-train {command}",
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": sha256_of(checkpoint),
        **made_now(),
    }


def _report(release: Release, *, as_json: bool) -> None:
    manifest = release.manifest
    if as_json:
        print_json(
            {
                "release": release.folder,
                "name": manifest.name,
                "version": manifest.version,
                "space": manifest.space,
                "architecture": manifest.architecture,
                "dim": manifest.dim,
                "match_threshold": manifest.thresholds.match,
            }
        )
    else:
        typer.echo(f"release {release.ref} written to {release.folder}")
    if manifest.thresholds == UNCALIBRATED:
        print_warning(f"match threshold {manifest.thresholds.match} is a default: calibrate it on data like yours")

"""The command that gives a release graphs in fewer bits: `quantise`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import onnx
import onnxruntime as ort
import typer

from reid.cli import AsJson, print_json
from reid.embedder import Embedder
from reid.logs import configure_logs
from reid.release import Precision, Release, load_release
from train.commands_evaluate import ReleaseFolder, progress_bar
from train.crop_cache import DEFAULT_CACHE, load_crops
from train.datasets.registry import chosen_split, read_split, splits_help
from train.datasets.samples import Split
from train.evaluate import Evaluation, evaluate_split
from train.export import made_now
from train.half_graph import half_graph
from train.int8_graph import int8_graph
from train.options import CacheFolder, DataName, DataRoot
from train.variants import Graph, Verdict, add_variants, calibration_samples


class Variant(str, Enum):
    """Precision of a graph beside the one in fp32."""

    FP16 = "fp16"
    INT8 = "int8"


ALL_VARIANTS = list(Variant)
Precisions = Annotated[
    list[Variant], typer.Option("--precision", help="May be given more than once; without it all of them.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the release with the new graphs.")]
SplitName = Annotated[
    str, typer.Option("--split", help=f"Calibrates on its training part, tests on the rest; {splits_help()}.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace the release that is in DIR, perhaps the one it is made of.")
]


def quantise(
    release: ReleaseFolder,
    out: Out,
    data_root: DataRoot,
    data: DataName = "market1501",
    split: SplitName = "",
    precision: Precisions = ALL_VARIANTS,
    cache: CacheFolder = DEFAULT_CACHE,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Give a release graphs in half precision and in 8 bits, if they find people as well as the one in fp32.

    Each is searched with on the test part. One that loses half a point of mAP is refused, and nothing is written. The
    weights and the space stay as they are.

    Example: osprey-train quantise --release R --out R8 --data market1501 --data-root market1501 --split 500-251
    """
    configure_logs(level="warning")
    loaded, split = load_release(release), chosen_split(data, split)
    precisions: list[Precision] = [variant.value for variant in Variant if variant in precision]
    chosen = read_split(data, data_root, split)
    graphs = _make_graphs(loaded, precisions, chosen, cache)

    def evaluate(embedder: Embedder) -> Evaluation:
        with progress_bar(f"embedding in {embedder.precision}") as on_batch:
            return evaluate_split(embedder, chosen, cache, on_batch=on_batch)

    data_name = f"{data} {split}"
    made, verdicts = add_variants(loaded, out, graphs, evaluate, data_name=data_name, force=force)
    _report(made, verdicts, data_name, as_json=as_json)


def _make_graphs(
    release: Release, precisions: Sequence[Precision], split: Split, cache: Path
) -> dict[Precision, Graph]:
    now = made_now()
    made_by = f"osprey-train quantise, osprey {now['osprey']}, {now['date']}"
    graphs: dict[Precision, Graph] = {}
    if "fp16" in precisions:
        graphs["fp16"] = Graph(half_graph(onnx.load(release.model_path)), made_by)
    if "int8" in precisions:
        crops = load_crops(calibration_samples(split.train), cache).crops
        ranges = f"ranges from {len(crops)} crops of the training part, onnxruntime {ort.__version__}"
        graphs["int8"] = Graph(int8_graph(release.model_path, crops), f"{ranges}; {made_by}")
    return graphs


def _report(release: Release, verdicts: Mapping[Precision, Verdict], data_name: str, *, as_json: bool) -> None:
    if as_json:
        figures = {name: asdict(verdict) | {"fall": verdict.fall} for name, verdict in verdicts.items()}
        print_json({"release": release.folder, "space": release.ref.space, "data": data_name, "precisions": figures})
        return
    typer.echo(f"release {release.ref} written to {release.folder}")
    for precision, verdict in verdicts.items():
        cosines = f"{verdict.least_cosine:.4f} to fp32, {verdict.golden_cosine:.4f} on the golden crops"
        typer.echo(f"{precision} on {data_name}: {verdict}; least cosine {cosines}")

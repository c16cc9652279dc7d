"""Commands for TensorRT engines: `engine build` makes them ahead of the first start, `engine inspect` looks at them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from edge.backends.tensorrt.builder import RECIPE, BatchProfile, BuildSpec, Watch, graph_precision
from edge.backends.tensorrt.cache import SUFFIX, EngineCache, EngineHeader, EngineKey, read_engine
from edge.backends.tensorrt.embedder import PROFILE, engine_folder, engine_spec, find_gpu
from edge.backends.tensorrt.module import load_tensorrt
from edge.backends.tensorrt.plans import NO_DEVICE, Plan, PlanSource
from edge.errors import BackendError
from edge.settings import SHIPPED_RELEASE
from reid.cli import AsJson, new_app, print_json, print_warning
from reid.errors import ConfigError
from reid.logs import configure_logs
from reid.release import Precision, load_release

engine_app = new_app("Build and look at TensorRT engines.")

_LOW_PRIORITY = 10
_PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")

ReleaseOption = Annotated[Path | None, typer.Option("--release", help="Folder of a release; default: the shipped one.")]
CacheOption = Annotated[Path | None, typer.Option("--cache", help="Folder of engines; default: beside the release.")]


@engine_app.command()
def build(
    *,
    release: ReleaseOption = None,
    precision: Annotated[
        list[str], typer.Option(help="fp32, fp16 or int8; several times for more; default: all that the release has.")
    ] = [],  # noqa: B006
    batch: Annotated[str, typer.Option(help="Batches LEAST,BEST,MOST; the agent runs the default.")] = str(PROFILE),
    cache: CacheOption = None,
    refit: Annotated[bool, typer.Option(help="Whether other weights can be put in later; never in int8.")] = True,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build also what is there already.")] = False,
    low_priority: Annotated[bool, typer.Option("--low-priority", help="Give way to a running agent.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the engines of a release on this device, so that the first start need not.

    Without a GPU, TensorRT-RTX still builds: that shows that it can be done, and gives an engine that runs nowhere.

    Example: osprey-edge engine build --release releases/site --precision fp16
    """
    configure_logs(level="warning")
    if low_priority:
        os.nice(_LOW_PRIORITY)
    wanted, profile = _precisions(precision), _profile(batch)
    loaded = load_release(release or SHIPPED_RELEASE)
    built = []
    with _progress() as watch:
        plans = _plan_source(cache or engine_folder(loaded.folder), watch)
        for one in wanted or [one for one in _PRECISIONS if one in loaded.precisions]:
            graph = loaded.model_path_in(graph_precision(plans.tensorrt, one))
            # TensorRT-RTX makes an engine that can be refitted on a GPU only.
            can_refit = engine_spec(one).is_refittable and plans.device is not NO_DEVICE
            spec = BuildSpec(one, profile, is_refittable=refit and can_refit)
            built.append(_built(plans.build(graph, spec) if rebuild else next(plans.candidates(graph, spec))))
    _show({"release": str(loaded.ref), "engines": built}, as_json, [_line(one) for one in built])


@engine_app.command()
def inspect(
    path: Annotated[Path | None, typer.Argument(help=f"A file *{SUFFIX}, or a folder; default: --release's.")] = None,
    release: ReleaseOption = None,
    as_json: AsJson = False,
) -> None:
    """Show what engines were built of, and whether this machine can run them. Needs no GPU.

    Example: osprey-edge engine inspect releases/engines
    """
    configure_logs(level="warning")
    path = path or engine_folder(release or SHIPPED_RELEASE)
    files = [path] if path.is_file() else EngineCache(path).paths()
    if not files:
        raise BackendError(f"no engine in {path}: build one with 'osprey-edge engine build'")
    seen = [_inspected(file, is_alone=path.is_file()) for file in files]
    _show({"engines": seen}, as_json, [_line(one) for one in seen])


def _precisions(given: Sequence[str]) -> list[Precision]:
    known: dict[str, Precision] = {one: one for one in _PRECISIONS}
    unknown = [one for one in given if one not in known]
    if unknown:
        raise ConfigError(f"--precision {unknown[0]}: wanted one of {', '.join(known)}")
    return [known[one] for one in given]


def _profile(text: str) -> BatchProfile:
    try:
        least, best, most = (int(number) for number in text.split(","))
    except ValueError:
        raise ConfigError(f"--batch {text!r}: wanted LEAST,BEST,MOST, for example {PROFILE}") from None
    return BatchProfile(least, best, most)


def _plan_source(folder: Path, watch: Watch) -> PlanSource:
    try:
        return find_gpu(folder, watch=watch).plans
    except BackendError as error:
        plans = PlanSource(load_tensorrt(), NO_DEVICE, EngineCache(folder), watch=watch)
        if plans.tensorrt.flavour == "tensorrt":  # measures its kernels on the GPU
            raise
        print_warning(f"engines that are built here run nowhere: {error}")
        return plans


def _built(plan: Plan) -> dict[str, Any]:
    values = _described(plan.key, None if plan.path is None else read_engine(plan.path).header)
    return {
        "file": plan.path,
        **values,
        "bytes": len(plan.content),
        "cached": plan.is_cached,
        "build_s": round(plan.build_s, 3),
    }


def _inspected(path: Path, *, is_alone: bool) -> dict[str, Any]:
    """What stands in a file. One of several that is broken is shown with the reason; one alone is an error."""
    try:
        header = read_engine(path).header
    except BackendError as error:
        if is_alone:
            raise
        return {"file": path, "runs_here": False, "why_not": str(error)}
    why_not = _why_not(header.key, path.parent)
    shown = {"bytes": path.stat().st_size, "built_at": header.built_at, "runs_here": not why_not, "why_not": why_not}
    return {"file": path, **_described(header.key, header), **shown}


def _described(key: EngineKey, header: EngineHeader | None) -> dict[str, Any]:
    return {
        "graph": header.name if header else "",
        **key.model_dump(),
        "built_of": dict(header.summary) if header else {},
    }


def _why_not(key: EngineKey, folder: Path) -> str:
    """Why this machine cannot run an engine of this key; empty if it can."""
    try:
        gpu = find_gpu(folder)
    except BackendError as error:
        return str(error)
    here = {
        "flavour": gpu.tensorrt.flavour,
        "version": gpu.tensorrt.version,
        "device": gpu.plans.device.name,
        "capability": gpu.plans.device.capability,
        "recipe": RECIPE,
    }
    return "; ".join(key.model_copy(update=here).differences(key))


def _line(one: dict[str, Any]) -> str:
    if "precision" not in one:
        return f"{one['file']}: {one['why_not']}"
    refit = "can be refitted" if one["is_refittable"] else "without refit"
    parts = [
        f"{one['file'] or 'not kept'}: {one['graph']} in {one['precision']}, batch {one['profile']}, {refit}",
        f"{one['flavour']} {one['version']} on {one['device']} ({one['capability']}), {one['bytes'] / 1e6:.1f} MB",
        ", ".join(f"{count} {name}" for name, count in one["built_of"].items()),
    ]
    if "build_s" in one:
        parts.append("was there already" if one["cached"] else f"built in {one['build_s']:.1f} s")
    else:
        parts.append("runs here" if one["runs_here"] else f"does not run here: {one['why_not']}")
    return "\n  ".join(part for part in parts if part)


def _show(values: dict[str, Any], as_json: bool, lines: Sequence[str]) -> None:
    if as_json:
        print_json(values)
    else:
        Console().print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)


@contextmanager
def _progress() -> Iterator[Watch]:
    """A line on a terminal that says what TensorRT is at."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda *_: None
        return
    with console.status("building") as status:
        yield lambda phase, done, of: status.update(f"building: {phase.lower()} {done}/{of}")

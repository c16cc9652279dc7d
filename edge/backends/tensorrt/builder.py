"""Makes a TensorRT engine of an ONNX graph.

Precision lives in the graph: an engine in fp16 is built from a graph in half precision, one in int8 from a graph with
Q/DQ nodes. Only TensorRT 8.6, which has no strongly typed networks, takes the graph in fp32 and is told by flags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.backends.tensorrt.module import TensorRt
from edge.errors import BackendError
from reid.errors import ConfigError
from reid.release import Precision

RECIPE = 1
"""Raised when this file makes another engine of the same graph: engines of an older recipe are built anew."""
MOST_CROPS = 1024
"""Largest batch that a profile may name."""
_WORKSPACE_BYTES = 1 << 30

Watch = Callable[[str, int, int], None]
"""Told the phase, how many of its steps are done and how many there are."""


@dataclass(frozen=True)
class BatchProfile:
    """Batches that an engine takes.

    Attributes:
        least: Smallest.
        best: The one that it is made fastest for.
        most: Largest.

    Raises:
        ConfigError: They are not in this order, below 1 or above `MOST_CROPS`.
    """

    least: int = 1
    best: int = 8
    most: int = 32

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 1 <= self.least <= self.best <= self.most <= MOST_CROPS:
            raise ConfigError(f"batch profile {self}: wanted LEAST,BEST,MOST in rising order, from 1 to {MOST_CROPS}")

    def __str__(self) -> str:
        """The three numbers, as they are given on the command line."""
        return f"{self.least},{self.best},{self.most}"


@dataclass(frozen=True)
class BuildSpec:
    """What kind of engine is wanted.

    Attributes:
        precision: Arithmetic.
        profile: Batches; means nothing where the graph's batch is fixed.
        is_refittable: Other weights can be put into it later, which may cost some speed.
        allows_tf32: In fp32, products may be rounded to 10 bits.
    """

    precision: Precision
    profile: BatchProfile = BatchProfile()
    is_refittable: bool = False
    allows_tf32: bool = False


@dataclass(frozen=True)
class BuiltEngine:
    """An engine as bytes.

    Attributes:
        plan: To be written to a file, or opened.
        summary: What it was built of, for people: layers, and how many results there are of each type.
        timing_cache: What was measured on the way; makes the next build faster. Empty where TensorRT keeps none.
    """

    plan: bytes
    summary: dict[str, int]
    timing_cache: bytes


def graph_precision(tensorrt: TensorRt, precision: Precision) -> Precision:
    """The precision of the graph from which an engine is built.

    Raises:
        BackendError: There is no engine of this precision.
    """
    if precision == "bf16":
        raise BackendError("TensorRT engines are built in fp32, fp16 or int8: bf16 is of other back ends")
    return "fp32" if precision == "fp16" and not tensorrt.is_strongly_typed else precision


def build_engine(
    tensorrt: TensorRt,
    onnx: bytes,
    spec: BuildSpec,
    *,
    name: str,
    timing_cache: bytes = b"",
    watch: Watch | None = None,
) -> BuiltEngine:
    """Build, which takes seconds to minutes.

    Args:
        tensorrt: What is installed.
        onnx: The graph, in `graph_precision`.
        spec: What to make of it.
        name: Of the graph, for messages.
        timing_cache: Of an earlier build on this device, or empty.
        watch: Is told how far it is.

    Raises:
        BackendError: The graph cannot be read or has a node that this TensorRT does not know (the first one is named),
            its inputs do not fit a batch profile, or the build failed.
    """
    tensorrt.messages.take()
    builder = tensorrt.module.Builder(tensorrt.logger)
    network = builder.create_network(_creation_flags(tensorrt))
    parser = tensorrt.module.OnnxParser(network, tensorrt.logger)  # owns the weights: lives until the build is over
    if not parser.parse(onnx):
        raise BackendError(f"{name} cannot be read by {_title(tensorrt)}: {_parse_problem(parser)}")
    config = _new_config(tensorrt, builder, spec)
    monitor = _add_monitor(tensorrt, config, watch)
    _add_profile(builder, network, config, spec.profile, name)
    cache = _add_timing_cache(tensorrt, config, timing_cache)
    tensorrt.messages.take()
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"{_title(tensorrt)} cannot build {name} in {spec.precision}: {tensorrt.messages.take()}")
    del monitor
    return BuiltEngine(bytes(plan), _summary(network), b"" if cache is None else bytes(cache.serialize()))


def _title(tensorrt: TensorRt) -> str:
    return f"{tensorrt.flavour} {tensorrt.version}"


def _creation_flags(tensorrt: TensorRt) -> int:
    flags = tensorrt.module.NetworkDefinitionCreationFlag
    return 1 << int(flags.STRONGLY_TYPED if tensorrt.is_strongly_typed else flags.EXPLICIT_BATCH)


def _parse_problem(parser: Any) -> str:
    if parser.num_errors == 0:
        return "it gives no reason"
    error = parser.get_error(0)
    reason = " ".join(str(error.desc()).split())
    if error.node() < 0:
        return reason
    operator, node_name = (str(getattr(error, part, lambda: "?")()) for part in ("node_operator", "node_name"))
    return f"node {error.node()}, {operator} {node_name!r}: {reason}"


def _new_config(tensorrt: TensorRt, builder: Any, spec: BuildSpec) -> Any:
    flags, config = tensorrt.module.BuilderFlag, builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.module.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    if spec.is_refittable:
        config.set_flag(flags.REFIT)
    if not spec.allows_tf32:
        config.clear_flag(flags.TF32)
    if not tensorrt.is_strongly_typed:
        for flag in {"fp16": [flags.FP16], "int8": [flags.FP16, flags.INT8]}.get(spec.precision, []):
            config.set_flag(flag)
        # Each batch size has a context of its own, and all of them share the one profile. Later versions always may.
        config.set_preview_feature(tensorrt.module.PreviewFeature.PROFILE_SHARING_0806, True)
    return config


def _add_profile(builder: Any, network: Any, config: Any, profile: BatchProfile, name: str) -> None:
    """Set the batch of each input that leaves it free.

    Raises:
        BackendError: An input leaves another size free.
    """
    optimisation = builder.create_optimization_profile()
    has_free_batch = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        batch, *rest = tuple(tensor.shape) or (1,)
        if any(size < 0 for size in rest):
            raise BackendError(f"{name}: input {tensor.name} is {tuple(tensor.shape)}, only the batch may be free")
        if batch < 0:
            has_free_batch = True
            optimisation.set_shape(
                tensor.name, *((size, *rest) for size in (profile.least, profile.best, profile.most))
            )
    if has_free_batch:
        config.add_optimization_profile(optimisation)


def _add_timing_cache(tensorrt: TensorRt, config: Any, content: bytes) -> Any | None:
    if tensorrt.flavour == "tensorrt_rtx":  # measures nothing at build time, and says so with a warning
        return None
    cache = config.create_timing_cache(content)
    # What was measured on another device is not taken over: then the cache starts empty.
    if not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _add_monitor(tensorrt: TensorRt, config: Any, watch: Watch | None) -> Any | None:
    """Let `watch` follow the build; TensorRT before 9 cannot."""
    if watch is None or not hasattr(tensorrt.module, "IProgressMonitor"):
        return None
    tell, base = watch, tensorrt.module.IProgressMonitor

    class _Monitor(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            base.__init__(self)
            self._num_steps: dict[str, int] = {}

        def phase_start(self, phase: str, _parent: str | None, num_steps: int) -> None:
            self._num_steps[phase] = num_steps
            tell(phase, 0, num_steps)

        def step_complete(self, phase: str, step: int) -> bool:
            tell(phase, step + 1, self._num_steps[phase])
            return True

        def phase_finish(self, phase: str) -> None:
            tell(phase, self._num_steps[phase], self._num_steps[phase])

    monitor = _Monitor()
    config.progress_monitor = monitor
    return monitor


def _summary(network: Any) -> dict[str, int]:
    types = Counter(
        layer.get_output(index).dtype.name.lower()
        for layer in (network.get_layer(index) for index in range(network.num_layers))
        for index in range(layer.num_outputs)
    )
    return {"layers": network.num_layers, **{f"results in {name}": count for name, count in sorted(types.items())}}

"""Where an engine comes from: the cache, or a build that is then kept there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import structlog

from edge.backends.cuda.interface import Device
from edge.backends.tensorrt.builder import RECIPE, BuildSpec, Watch, build_engine
from edge.backends.tensorrt.cache import EngineCache, EngineKey
from edge.backends.tensorrt.module import TensorRt
from edge.errors import BackendError, DeviceMemoryError
from reid.errors import ReleaseMismatchError

logger = structlog.get_logger(__name__)

OpenedT = TypeVar("OpenedT")

NO_DEVICE = Device(name="none", capability="none", total_bytes=0)
"""Of an engine that is built where there is no GPU, to see that it can be built."""


@dataclass(frozen=True)
class Plan:
    """An engine as bytes, with what it holds for.

    Attributes:
        key: What it holds for.
        content: The engine.
        is_cached: It was built earlier.
        path: Its file; None where it could not be kept.
        summary: What it was built of; empty where it came from the cache.
        build_s: Seconds that the build took; 0 where it came from the cache.
    """

    key: EngineKey
    content: bytes
    is_cached: bool
    path: Path | None
    summary: dict[str, int]
    build_s: float


class PlanSource:
    """Makes engines for one TensorRT on one device.

    Args:
        tensorrt: What is installed.
        device: What they shall run on.
        cache: Where they are kept.
        watch: Is told how far a build is.
    """

    def __init__(self, tensorrt: TensorRt, device: Device, cache: EngineCache, *, watch: Watch | None = None) -> None:
        self.tensorrt, self.device, self.cache = tensorrt, device, cache
        self._watch = watch

    def get(self, graph: Path, spec: BuildSpec) -> Plan:
        """The engine of a graph, from the cache if it is there.

        Raises:
            BackendError: It cannot be built; names the node or says the reason.
        """
        onnx = graph.read_bytes()
        key = self.key(onnx, spec)
        content = self.cache.load(key)
        if content is None:
            return self._build(graph, onnx, spec, key)
        return Plan(key, content, is_cached=True, path=self.cache.folder / key.file_name(), summary={}, build_s=0.0)

    def build(self, graph: Path, spec: BuildSpec) -> Plan:
        """Build the engine of a graph, whatever the cache holds.

        Raises:
            BackendError: It cannot be built.
        """
        onnx = graph.read_bytes()
        return self._build(graph, onnx, spec, self.key(onnx, spec))

    def keep(self, graph: Path, plan: Plan, content: bytes) -> Plan:
        """Keep an engine that was made of another one by refit, under the key of the graph whose weights it has now."""
        onnx_sha256 = hashlib.sha256(graph.read_bytes()).hexdigest()
        key = plan.key.model_copy(update={"onnx_sha256": onnx_sha256})
        path = self.cache.store(key, content, name=graph.name, summary=plan.summary)
        return replace(plan, key=key, content=content, path=path)

    def open(self, graph: Path, spec: BuildSpec, opener: Callable[[Plan], OpenedT]) -> OpenedT:
        """Open the first of the candidates that is right; what is wrong is thrown out of the cache.

        Args:
            graph: The ONNX file.
            spec: What is wanted.
            opener: Opens an engine; raises `BackendError` or `ReleaseMismatchError` where it is wrong.

        Raises:
            BackendError: None could be built or opened; the last one's reason.
            DeviceMemoryError: The device's memory is used up, which no other engine would mend.
            ReleaseMismatchError: None computes what was released.
        """
        problem: BackendError | ReleaseMismatchError | None = None
        for plan in self.candidates(graph, spec):
            try:
                return opener(plan)
            except DeviceMemoryError:
                raise
            except (BackendError, ReleaseMismatchError) as error:
                self.cache.discard(plan.key, str(error))
                problem = error
        assert problem is not None  # there is at least one candidate, or an error
        raise problem

    def candidates(self, graph: Path, spec: BuildSpec) -> Iterator[Plan]:
        """Engines to be tried in turn until one is right: the wanted one, the same built anew, one without refit.

        TensorRT warns that an engine which can be refitted may lose a bias; so a wrong one is no reason to give up.
        What is kept goes first: where one without refit had to be built, the other need not fail at every start.

        Raises:
            BackendError: Not even the last one can be built.
        """
        specs = [spec, replace(spec, is_refittable=False)] if spec.is_refittable else [spec]
        onnx = graph.read_bytes()
        specs.sort(key=lambda one: not self.cache.has(self.key(onnx, one)))
        for one in specs:
            try:
                plan = self.get(graph, one)
                yield plan
                if plan.is_cached:
                    yield self.build(graph, one)
            except BackendError as error:
                if one is specs[-1]:
                    raise
                logger.warning("engine not built", refittable=one.is_refittable, problem=str(error))

    def key(self, onnx: bytes, spec: BuildSpec) -> EngineKey:
        """What an engine of this graph would hold for."""
        return EngineKey(
            onnx_sha256=hashlib.sha256(onnx).hexdigest(),
            flavour=self.tensorrt.flavour,
            version=self.tensorrt.version,
            device=self.device.name,
            capability=self.device.capability,
            profile=str(spec.profile),
            precision=spec.precision,
            is_refittable=spec.is_refittable,
            allows_tf32=spec.allows_tf32,
            recipe=RECIPE,
        )

    def _build(self, graph: Path, onnx: bytes, spec: BuildSpec, key: EngineKey) -> Plan:
        logger.info("engine is being built", graph=str(graph), precision=spec.precision, profile=key.profile)
        began_s = time.perf_counter()
        timing = self.cache.load_timing(key)
        built = build_engine(self.tensorrt, onnx, spec, name=str(graph), timing_cache=timing, watch=self._watch)
        build_s = time.perf_counter() - began_s
        path = self.cache.store(key, built.plan, name=graph.name, summary=built.summary)
        self.cache.store_timing(key, built.timing_cache)
        logger.info("engine built", graph=str(graph), seconds=round(build_s, 1), mb=round(len(built.plan) / 1e6, 1))
        return Plan(key, built.plan, is_cached=False, path=path, summary=built.summary, build_s=build_s)

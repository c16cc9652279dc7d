"""Puts other weights into an engine in less time than a build takes.

TensorRT 10 and later read them from the graph (`OnnxParserRefitter`). Before, each is set by its name: the graph's
initialisers and `weights.safetensors` carry the same names. Unproven without a GPU; the golden crops decide each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge.backends.tensorrt.module import TensorRt
from edge.errors import BackendError
from reid.types import AnyArray


def refit_engine(tensorrt: TensorRt, engine: Any, *, graph: Path, weights: Path) -> None:
    """Refit an engine that was built to be refitted.

    Args:
        tensorrt: The one that it was built with.
        engine: TensorRT's; no context of it runs.
        graph: ONNX of the same structure, with the weights that are wanted.
        weights: The same by name, for a TensorRT that cannot read them from the graph.

    Raises:
        BackendError: The structure differs, weights are missing, or TensorRT refuses. The engine is then of no use.
    """
    tensorrt.messages.take()
    refitter = tensorrt.module.Refitter(engine, tensorrt.logger)
    # The refitter copies no weights: what owns them must live until it is through.
    has_parser = hasattr(tensorrt.module, "OnnxParserRefitter")
    owner = _offer_graph(tensorrt, refitter, graph) if has_parser else _offer_weights(tensorrt, refitter, weights)
    missing = list(refitter.get_missing_weights())
    if missing:
        raise BackendError(
            f"{graph} cannot refit the engine: no weights for {', '.join(missing[:5])}: build one instead"
        )
    if not refitter.refit_cuda_engine():
        raise BackendError(f"the engine cannot be refitted with {graph}: {tensorrt.messages.take()}")
    del owner


def _offer_graph(tensorrt: TensorRt, refitter: Any, graph: Path) -> object:
    parser = tensorrt.module.OnnxParserRefitter(refitter, tensorrt.logger)
    if not parser.refit_from_bytes(graph.read_bytes()):
        reasons = "; ".join(str(parser.get_error(index).desc()) for index in range(parser.num_errors))
        raise BackendError(f"{graph} cannot refit the engine, build one instead: {reasons or tensorrt.messages.take()}")
    return parser


def _offer_weights(tensorrt: TensorRt, refitter: Any, source: Path) -> object:
    weights = _load_weights(source)
    for name in refitter.get_all_weights():
        if name in weights and not refitter.set_named_weights(name, tensorrt.module.Weights(weights[name])):
            raise BackendError(f"{source}: {name} {weights[name].shape} does not fit the engine: build one instead")
    return weights


def _load_weights(path: Path) -> Mapping[str, AnyArray]:
    try:
        from safetensors import numpy as safetensors  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise BackendError(f"safetensors is not installed ({error}): pip install 'osprey-reid[tensorrt]'") from None
    return {name: np.ascontiguousarray(array) for name, array in safetensors.load_file(path).items()}

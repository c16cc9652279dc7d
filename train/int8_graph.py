"""The model graph in 8 bits: the same graph with pairs of QuantizeLinear and DequantizeLinear around its layers.

Every back end reads this form: ONNX Runtime and OpenVINO on a CPU, TensorRT on a GPU, which takes symmetric int8 only,
no uint8 and no bias in int32. So ranges are symmetric, weights have a scale for each output channel, and weights and
biases stay float32 under their names: the engine quantises them when it is built.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from reid.types import UInt8Array
from train.onnx_graph import INPUT

QUANTISED_OPERATIONS = ("Conv", "Gemm")
"""What may be quantised; sums and pools between layers stay float."""
KEPT_FLOAT = re.compile(r"^/conv1/|/conv2/|/gate/")
"""Names of layers that lose most in 8 bits and gain least: the stem, the first stage, the depthwise half of every
`LightConv3x3` (its `conv2`) and the gates. See `docs/log.md`."""
_OPTIONS = {"ActivationSymmetric": True, "WeightSymmetric": True, "AddQDQPairToWeight": True, "QuantizeBias": False}
_BATCH_SIZE = 16


def int8_graph(model_path: Path, crops: UInt8Array) -> onnx.ModelProto:
    """Quantise a model graph.

    Args:
        model_path: As `train.onnx_graph` makes it.
        crops: uint8 (N, 256, 128, 3) BGR to take the ranges of activations from: people of the training part, since
            ranges found on the test would flatter it. The same crops give the same graph.

    Returns:
        A checked model with the same input, output and names of weights.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "quantised.onnx"
        quantize_static(
            model_path,
            path,
            _Crops(crops),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED_OPERATIONS),
            nodes_to_exclude=_kept_float(model_path),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=_OPTIONS,
        )
        model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return model


def _kept_float(model_path: Path) -> list[str]:
    return [node.name for node in onnx.load(model_path).graph.node if KEPT_FLOAT.search(node.name)]


class _Crops(CalibrationDataReader):  # type: ignore[misc] # the library has no types
    """Hands the calibration crops out in batches."""

    def __init__(self, crops: UInt8Array) -> None:
        self._crops = crops
        self._starts = iter(range(0, len(crops), _BATCH_SIZE))

    def get_next(self) -> dict[str, UInt8Array] | None:
        """The next batch, by the name of the input; None at the end."""
        start = next(self._starts, None)
        if start is None:
            return None
        return {INPUT: np.ascontiguousarray(self._crops[start : start + _BATCH_SIZE])}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice and progress out of the log and off stdout, where a command prints its JSON."""
    root = logging.getLogger()
    was_disabled, root.disabled = root.disabled, True
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.disabled = was_disabled

"""Tiny ONNX graphs that answer the same rows whatever they see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_constant_model(path: Path, output: np.ndarray, *, picture: tuple[int, ...] = (1, 3, 32, 64)) -> Path:
    """Write a graph `images` -> `output` whose output is a constant."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["rows"], ["output"])],
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, picture)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, output.shape)],
        [numpy_helper.from_array(output.astype(np.float32), "rows")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def yolox_rows(*persons: tuple[int, float, float, float, float, float]) -> np.ndarray:
    """YOLOX output (1, 42, 6) of a 32 x 64 picture; a person is row, cx, cy, ln w, ln h (in cells), score."""
    rows = np.zeros((1, 42, 6), np.float32)
    for row, cx, cy, log_w, log_h, score in persons:
        rows[0, row] = cx, cy, log_w, log_h, score, 1.0
    return rows

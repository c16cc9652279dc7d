"""Tiny ONNX graphs that answer the same rows whatever they see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PICTURE = (1, 3, 32, 64)


def write_constant_model(
    path: Path, output: np.ndarray | dict[str, np.ndarray], *, name: str = "images", kind: int = TensorProto.FLOAT
) -> Path:
    """Write a graph whose outputs are constants; one array is called `output`."""
    outputs = output if isinstance(output, dict) else {"output": output}
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"{key}_constant"], [key]) for key in outputs],
        "constant",
        [helper.make_tensor_value_info(name, kind, PICTURE)],
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, rows.shape) for key, rows in outputs.items()],
        [numpy_helper.from_array(rows.astype(np.float32), f"{key}_constant") for key, rows in outputs.items()],
    )
    return _save(graph, path)


def write_decoded_queries_model(path: Path, shares: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> Path:
    """Write a graph as RT-DETR and D-FINE export it: boxes are shares (Q, 4) of the second input, width and height."""
    tensors = {"shares": shares[None], "score_rows": scores[None]}
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["label_rows"], ["labels"]),
            helper.make_node("Cast", ["orig_target_sizes"], ["size"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["size", "size"], ["sizes"], axis=1),
            helper.make_node("Unsqueeze", ["sizes", "axis"], ["row"]),
            helper.make_node("Mul", ["shares", "row"], ["boxes"]),
            helper.make_node("Identity", ["score_rows"], ["scores"]),
        ],
        "decoded_queries",
        [
            helper.make_tensor_value_info("images", TensorProto.FLOAT, ("N", *PICTURE[1:])),
            helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ("N", 2)),
        ],
        [
            helper.make_tensor_value_info("labels", TensorProto.INT64, None),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, None),
        ],
        [
            *(numpy_helper.from_array(array.astype(np.float32), key) for key, array in tensors.items()),
            numpy_helper.from_array(labels[None].astype(np.int64), "label_rows"),
            numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    return _save(graph, path)


def _save(graph: onnx.GraphProto, path: Path) -> Path:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def yolox_rows(*persons: tuple[int, float, float, float, float, float]) -> np.ndarray:
    """YOLOX output (1, 42, 6) of a 32 x 64 picture; a person is row, cx, cy, ln w, ln h (in cells), score."""
    rows = np.zeros((1, 42, 6), np.float32)
    for row, cx, cy, log_w, log_h, score in persons:
        rows[0, row] = cx, cy, log_w, log_h, score, 1.0
    return rows

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from releases import tiny_model

from reid.errors import ReleaseError
from server.gate.ranges import largest_activation, with_all_outputs

CROPS = np.full((2, 256, 128, 3), 100, dtype=np.uint8)


def save_swollen(path: Path, *, by: float) -> Path:
    model = tiny_model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    weight.CopyFrom(numpy_helper.from_array(np.full((24, 8), by, dtype=np.float32), "weight"))
    onnx.save(model, path)
    return path


def test_every_layer_becomes_an_output() -> None:
    model = onnx.load_from_string(with_all_outputs(tiny_model().SerializeToString()))
    assert {value.name for value in model.graph.output} == {name for node in model.graph.node for name in node.output}
    assert len(model.graph.node) == len(tiny_model().graph.node)


def test_the_largest_number_of_any_layer_is_found(tmp_path: Path) -> None:
    path = save_swollen(tmp_path / "m.onnx", by=-1000.0)
    assert largest_activation(path, CROPS, num_threads=1) == pytest.approx(24 * 100 * 1000.0)
    assert largest_activation(save_swollen(tmp_path / "s.onnx", by=1e-3), CROPS, num_threads=1) == pytest.approx(100.0)


def test_a_number_that_is_not_finite_is_infinite(tmp_path: Path) -> None:
    assert largest_activation(save_swollen(tmp_path / "m.onnx", by=3e38), CROPS, num_threads=1) == float("inf")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ReleaseError, match=r"m\.onnx"):
        largest_activation(path, CROPS, num_threads=1)

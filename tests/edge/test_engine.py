from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from structlog.testing import capture_logs

from edge.backends.registry import BACKENDS
from edge.engine import open_engine
from edge.errors import BackendError
from reid.errors import ReleaseError, ReleaseMismatchError
from reid.release import MANIFEST_FILE, MODEL_FILE


def test_release_is_loaded_and_says_what_it_is(tiny_release):
    engine = open_engine(tiny_release.folder, num_threads=1)
    assert (engine.release, engine.dim) == (tiny_release.ref, 8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_cameras_share_one_engine(tiny_release, backend):
    if backend == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed")
    engine = open_engine(tiny_release.folder, num_threads=1, backend=backend)
    golden = tiny_release.golden
    with ThreadPoolExecutor(4) as pool:
        for embeddings in pool.map(lambda _: engine.embed(golden.crops), range(20)):
            assert np.min(np.sum(embeddings * golden.embeddings, axis=1)) > 0.995


def test_engine_says_what_runs_it_and_the_log_why(tiny_release):
    with capture_logs() as logs:
        engine = open_engine(tiny_release.folder, num_threads=1)
    assert (engine.backend, engine.precision) == ("onnxruntime", "fp32")
    assert (logs[-1]["backend"], logs[-1]["precision"], logs[-1]["why"]) == ("onnxruntime", "fp32", "as configured")


def test_a_back_end_that_is_not_installed_is_one_error(tiny_release, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendError, match="OpenVINO is not installed"):
        open_engine(tiny_release.folder, num_threads=1, backend="openvino")


def test_auto_does_without_what_is_not_installed_and_names_it(tiny_release, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with capture_logs() as logs:
        assert open_engine(tiny_release.folder, num_threads=1, backend="auto").backend == "onnxruntime"
    assert [line["backend"] for line in logs] == ["openvino", "onnxruntime"]


def test_altered_release_is_refused(tiny_release):
    with (tiny_release.folder / MODEL_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ReleaseMismatchError, match="altered or damaged"):
        open_engine(tiny_release.folder, num_threads=1)


def test_release_of_another_dim_is_refused(tiny_release):
    path = tiny_release.folder / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "dim": 16}))
    with pytest.raises(ReleaseMismatchError, match="puts out 8 numbers, its manifest says 16"):
        open_engine(tiny_release.folder, num_threads=1)


def test_missing_release_is_a_clear_error(tmp_path):
    with pytest.raises(ReleaseError, match=r"manifest\.json is missing"):
        open_engine(tmp_path, num_threads=1)

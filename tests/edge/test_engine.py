from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edge.engine import open_engine
from reid.errors import ReleaseError, ReleaseMismatchError
from reid.release import MANIFEST_FILE, MODEL_FILE


def test_release_is_loaded_and_says_what_it_is(tiny_release):
    engine = open_engine(tiny_release.folder, num_threads=1)
    assert (engine.release, engine.dim) == (tiny_release.ref, 8)


def test_several_cameras_share_one_engine(tiny_release):
    engine = open_engine(tiny_release.folder, num_threads=1)
    golden = tiny_release.golden
    with ThreadPoolExecutor(4) as pool:
        for embeddings in pool.map(lambda _: engine.embed(golden.crops), range(20)):
            np.testing.assert_allclose(embeddings, golden.embeddings, atol=1e-5)


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

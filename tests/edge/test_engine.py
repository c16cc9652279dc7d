from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fakes_refresh import CROPS, Clock, FakeEmbedder
from releases import write_tiny_release
from structlog.testing import capture_logs

from edge.backends.registry import BACKENDS
from edge.engine import Engine, open_engine
from edge.errors import BackendError
from reid.embedder import OnnxEmbedder
from reid.errors import EmbeddingError, ReleaseError, ReleaseMismatchError
from reid.release import MANIFEST_FILE, MODEL_FILE
from reid.types import ReleaseRef

OLD, NEW = ReleaseRef("r", "1", "old"), ReleaseRef("r", "2", "new")


def test_release_is_loaded_and_says_what_it_is(tiny_release):
    engine = open_engine(tiny_release.folder, num_threads=1)
    assert (engine.release, engine.dim) == (tiny_release.ref, 8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_cameras_share_one_engine(tiny_release, backend):
    try:
        engine = open_engine(tiny_release.folder, num_threads=1, backend=backend)
    except BackendError as error:
        pytest.skip(str(error))
    golden = tiny_release.golden
    with ThreadPoolExecutor(4) as pool:
        for embedded in pool.map(lambda _: engine.embed(golden.crops), range(20)):
            assert np.min(np.sum(embedded.embeddings * golden.embeddings, axis=1)) > 0.995
            assert embedded.release == tiny_release.ref


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
    assert "openvino" in [line["backend"] for line in logs]


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


def swapped(*, old=None, new=None, **values):
    """An engine whose second embedder runs while the first is kept; and the two."""
    old, new = old or FakeEmbedder(OLD, 1.0), new or FakeEmbedder(NEW, 2.0)
    engine = Engine(old, **values)
    engine.embed(CROPS)
    engine.swap(new)
    return engine, old, new


def test_a_swap_changes_embeddings_and_their_release_together():
    engine, _, _ = swapped()
    embedded = engine.embed(CROPS)
    assert (embedded.release, float(embedded.embeddings[0, 0])) == (NEW, 2.0)
    assert (engine.release, engine.num_swaps, engine.num_proven) == (NEW, 1, 1)


def test_the_old_one_is_kept_until_the_new_one_is_confirmed():
    engine, old, new = swapped()
    assert not old.is_closed
    engine.confirm()
    assert old.is_closed
    assert not engine.roll_back()
    assert engine.embed(CROPS).release == NEW
    assert not new.is_closed


def test_a_roll_back_runs_the_kept_one_and_closes_the_other():
    engine, old, new = swapped()
    assert engine.roll_back()
    assert (engine.embed(CROPS).release, old.is_closed, new.is_closed) == (OLD, False, True)


def test_a_batch_on_which_the_new_one_fails_is_embedded_by_the_old_one():
    engine, _, new = swapped(new=FakeEmbedder(NEW, 2.0, good_batches=1))
    releases = [engine.embed(CROPS).release for _ in range(3)]
    assert releases == [NEW, OLD, OLD]
    assert "not finite" in str(engine.failure)
    assert new.is_closed


def test_a_batch_that_both_refuse_is_itself_at_fault():
    engine, _, _ = swapped()
    with pytest.raises(EmbeddingError, match="crops are"):
        engine.embed(CROPS[:, :8])
    assert (engine.failure, engine.embed(CROPS).release) == (None, NEW)


def test_batches_wait_for_the_next_one_while_there_is_none():
    engine = Engine(FakeEmbedder(OLD), vacant_s=20)
    engine.vacate()
    threading.Timer(0.05, engine.swap, [FakeEmbedder(NEW)]).start()
    assert engine.embed(CROPS).release == NEW


def test_waiting_for_the_next_one_ends_in_an_error_that_says_why():
    engine = Engine(FakeEmbedder(OLD), vacant_s=0.01)
    engine.vacate()
    with pytest.raises(EmbeddingError, match=r"no engine for 0\.01 s"):
        engine.embed(CROPS)
    assert engine.release == OLD


def test_the_time_for_which_crops_wait_is_measured_and_no_other():
    clock, embedder = Clock(), FakeEmbedder(OLD)
    embedder.on_batch = clock.passing(0.0, 0.25, 0.125)
    engine = Engine(embedder, clock=clock)
    engine.gaps.start()
    for _ in range(3):
        clock.now_s += 60.0  # nobody is seen
        engine.embed(CROPS)
    assert engine.gaps.longest_ms == 250.0


def test_under_load_every_row_is_of_the_release_that_is_named(tmp_path):
    releases = [write_tiny_release(tmp_path / f"r{seed}", seed=seed, version=str(seed)) for seed in range(2)]
    crops = releases[0].golden.crops
    expected = {release.ref: OnnxEmbedder(release, num_threads=1).embed(crops) for release in releases}
    engine = Engine(OnnxEmbedder(releases[0], num_threads=1))
    with ThreadPoolExecutor(4) as pool:
        batches = [pool.submit(engine.embed, crops) for _ in range(300)]
        for number in range(1, 41):
            engine.swap(OnnxEmbedder(releases[number % 2], num_threads=1))
            engine.confirm()
        answers = [batch.result() for batch in batches]
    assert {answer.release for answer in answers} <= set(expected)
    for answer in answers:
        np.testing.assert_allclose(answer.embeddings, expected[answer.release], atol=1e-6)
    assert engine.num_swaps == 40

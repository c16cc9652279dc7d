from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes_gate import write_bands_release, write_coloured_snapshot

from reid.embedder import OnnxEmbedder
from reid.errors import ReleaseError
from reid.release import Release
from reid.snapshot import Snapshot, SnapshotCrop, write_snapshot
from reid.types import FloatArray
from server.adaptation.examples import Ends, Example, Examples, HeldOutEnds, choose, make_examples, read_examples
from server.gate.measures import make_tracklets

NUM_TRACKLETS = 9


def named_snapshot(folder: Path) -> Snapshot:
    """Coloured people, with files named as a server names them."""
    made = write_coloured_snapshot(folder)
    crops = tuple(
        replace(crop, path=f"crops/{crop.tracklet + 100}-7-{number}.jpg") for number, crop in enumerate(made.crops)
    )
    for before, after in zip(made.crops, crops, strict=True):
        shutil.move(folder / before.path, folder / after.path)
    snapshot = replace(made, crops=crops, apart=np.array([[32, 33]]), together=np.array([[32, 48]]))
    write_snapshot(snapshot)
    return snapshot


def embedder(release: Release) -> OnnxEmbedder:
    return OnnxEmbedder(release, num_threads=1)


def held_out(*, apart: list[tuple[int, int]] | None = None) -> HeldOutEnds:
    """Tracklets of one camera; crop 2 n is the head of the n-th, 2 n + 1 its tail."""
    crops = [SnapshotCrop(f"crops/{n // 2}-1-{n}.jpg", 1, n // 2, n, 0.5, "held_out") for n in range(2 * NUM_TRACKLETS)]
    none = np.empty((0, 2), dtype=np.int64)
    pairs = none if apart is None else np.array(apart, dtype=np.int64)
    numbers, times = np.array([crop.tracklet for crop in crops]), np.array([crop.time_us for crop in crops])
    return HeldOutEnds(crops[::2], crops[1::2], make_tracklets(numbers, np.ones_like(numbers), times, pairs, none))


def ends(*, mixed_up: list[int]) -> Ends:
    """Every head finds its own tail, but those of some tracklets, which find the one before first."""
    heads: FloatArray = np.eye(NUM_TRACKLETS, dtype=np.float32)
    for row in mixed_up:
        heads[row] = np.eye(NUM_TRACKLETS, dtype=np.float32)[row - 1] * 0.8 + heads[row] * 0.6
    return Ends(heads, np.eye(NUM_TRACKLETS, dtype=np.float32))


def test_examples_of_real_crops_name_them_and_say_what_is_known(tmp_path: Path) -> None:
    parent = write_bands_release(tmp_path / "1", distraction=1.0)
    child = write_bands_release(tmp_path / "2", distraction=0.2, parent=parent)
    snapshot = named_snapshot(tmp_path / "snapshot")
    found = make_examples(snapshot, embedder(parent), embedder(child))
    assert found.num_tracklets == 32
    assert all((example.spool_key, len(example.before), len(example.after)) == (7, 5, 5) for example in found.examples)
    held_out_seqs = {int(Path(crop.path).stem.split("-")[2]) for crop in snapshot.of_part("held_out")}
    assert {example.seq for example in found.examples} <= held_out_seqs
    answers = [answer for example in found.examples for answer in example.after]
    assert {"same", "unknown"} <= {answer.known for answer in answers}
    assert all(-1.0 <= answer.similarity <= 1.0 + 1e-6 for answer in answers)


def test_what_changed_most_is_shown_to_the_better_and_to_the_worse() -> None:
    found = choose(held_out(), ends(mixed_up=[1, 2, 3]), ends(mixed_up=[5]))
    assert (found.num_tracklets, found.num_better, found.num_worse) == (NUM_TRACKLETS, 3, 1)
    ranks = [(example.seq, example.rank_before, example.rank_after) for example in found.examples]
    assert ranks[:3] == [(2, 2, 1), (4, 2, 1), (10, 1, 2)]
    assert len(ranks) == len(set(ranks)) == 6


def test_an_answer_is_marked_where_somebody_knows_who_it_is() -> None:
    found = choose(held_out(apart=[(0, 1)]), ends(mixed_up=[1]), ends(mixed_up=[]))
    example = next(example for example in found.examples if example.seq == 2)
    assert [(answer.seq, answer.known) for answer in example.before[:2]] == [(1, "different"), (3, "same")]
    assert {answer.known for answer in example.before[2:]} == {"unknown"}


def test_without_held_out_tracklets_there_are_no_examples(tmp_path: Path) -> None:
    snapshot = named_snapshot(tmp_path / "snapshot")
    bare = replace(snapshot, crops=tuple(replace(crop, part="train") for crop in snapshot.crops))
    release = embedder(write_bands_release(tmp_path / "1", distraction=1.0))
    assert make_examples(bare, release, release).examples == ()


def test_examples_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "examples.json"
    assert read_examples(path) is None
    example = Example(spool_key=1, seq=2, rank_before=3, rank_after=1, before=(), after=())
    path.write_text(Examples(num_tracklets=4, num_better=1, num_worse=0, examples=(example,)).model_dump_json())
    found = read_examples(path)
    assert found is not None
    assert found.examples == (example,)


def test_damaged_examples_are_named(tmp_path: Path) -> None:
    (tmp_path / "examples.json").write_text('{"num_tracklets": "many"}')
    with pytest.raises(ReleaseError, match=r"examples\.json"):
        read_examples(tmp_path / "examples.json")

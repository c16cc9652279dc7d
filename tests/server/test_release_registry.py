from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from releases import DIM, write_child_release, write_tiny_release
from sqlalchemy import Engine

from reid.errors import ReleaseError
from reid.release import ALIGNMENT_FILE, TRAINABLE_FILE
from server.errors import ConflictError, LeaseLostError, NotFoundError
from server.gate.verdict import Check, Verdict
from server.releases.registry import ReleaseRegistry
from server.storage.lease import Lease

GOOD = Verdict(is_accepted=True, checks=(Check(name="map", value=0.5, bound=0.4, is_passed=True, reason="better"),))
BAD = Verdict(is_accepted=False, checks=(Check(name="map", value=0.3, bound=0.4, is_passed=False, reason="worse"),))


@pytest.fixture
def registry(engine: Engine, tmp_path: Path) -> ReleaseRegistry:
    ticks = count(1)
    return ReleaseRegistry(engine, tmp_path / "data" / "releases", clock_us=lambda: next(ticks))


def test_first_start_serves_the_configured_release(registry: ReleaseRegistry, tmp_path: Path) -> None:
    configured = write_tiny_release(tmp_path / "one")
    served = registry.open_served(configured)
    assert served.folder == registry.folder / "tiny-1-0"
    assert registry.served() == "tiny-1-0"
    (only,) = registry.list()
    assert (only.state, only.verdict) == ("released", None)


def test_later_starts_serve_what_was_rolled_out(registry: ReleaseRegistry, tmp_path: Path) -> None:
    configured = write_tiny_release(tmp_path / "one")
    registry.open_served(configured)
    registry.register(write_child_release(configured, tmp_path / "two").folder, GOOD)
    registry.set_served("tiny-2-1")
    assert registry.open_served(configured).manifest.space == "tiny-2-1"
    assert [release.is_served for release in registry.list()] == [False, True]


def test_configured_release_with_another_threshold_is_taken_over(registry: ReleaseRegistry, tmp_path: Path) -> None:
    registry.open_served(write_tiny_release(tmp_path / "one"))
    again = registry.open_served(write_tiny_release(tmp_path / "two", match=0.5))
    assert again.manifest.thresholds.match == 0.5
    assert len(registry.list()) == 1


def test_another_configured_release_is_served_before_anything_was_rolled_out(
    registry: ReleaseRegistry, tmp_path: Path
) -> None:
    one, two = write_tiny_release(tmp_path / "one"), write_tiny_release(tmp_path / "two", seed=1)
    for configured in (one, two, one):
        assert registry.open_served(configured).ref == configured.ref


def test_records_restored_without_their_releases_start_with_the_configured_one(
    registry: ReleaseRegistry, tmp_path: Path
) -> None:
    configured = write_tiny_release(tmp_path / "one")
    registry.open_served(configured)
    shutil.rmtree(registry.folder)
    assert registry.open_served(configured).ref == configured.ref


def test_missing_release_that_was_rolled_out_is_asked_for(registry: ReleaseRegistry, tmp_path: Path) -> None:
    configured = write_tiny_release(tmp_path / "one")
    registry.open_served(configured)
    registry.register(write_child_release(configured, tmp_path / "two").folder, GOOD)
    registry.set_served("tiny-2-1")
    shutil.rmtree(registry.folder / "tiny-2-1")
    with pytest.raises(ReleaseError, match="put back a copy of"):
        registry.open_served(configured)
    assert registry.alignments().spaces == frozenset()


def test_release_is_copied_whole(registry: ReleaseRegistry, tmp_path: Path) -> None:
    parent = write_tiny_release(tmp_path / "one")
    candidate = write_child_release(parent, tmp_path / "two")
    known = registry.register(candidate.folder, GOOD)
    copied = registry.release("tiny-2-1").folder
    assert {path.name for path in copied.iterdir()} == {path.name for path in candidate.folder.iterdir()}
    assert {ALIGNMENT_FILE, TRAINABLE_FILE} <= {path.name for path in copied.iterdir()}
    assert known.num_bytes == sum(path.stat().st_size for path in candidate.folder.iterdir())


def test_verdict_decides_the_state_and_is_kept(registry: ReleaseRegistry, tmp_path: Path) -> None:
    candidate = write_child_release(write_tiny_release(tmp_path / "one"), tmp_path / "two").folder
    assert registry.register(candidate, BAD).state == "refused"
    assert registry.get("tiny-2-1").verdict == BAD
    assert registry.register(candidate, GOOD).state == "released"
    assert len(registry.list()) == 1


def test_operator_forces_a_refused_or_withdrawn_release(registry: ReleaseRegistry, tmp_path: Path) -> None:
    registry.register(write_child_release(write_tiny_release(tmp_path / "one"), tmp_path / "two").folder, BAD)
    forced = registry.force("tiny-2-1", "ann")
    assert (forced.state, forced.verdict and forced.verdict.forced_by) == ("released", "ann")
    assert forced.verdict is not None
    assert forced.verdict.failed == BAD.failed
    registry.withdraw("tiny-2-1")
    assert registry.get("tiny-2-1").state == "withdrawn"


def test_space_of_another_release_is_refused(registry: ReleaseRegistry, tmp_path: Path) -> None:
    registry.register(write_tiny_release(tmp_path / "one").folder, GOOD)
    with pytest.raises(ConflictError, match="another version"):
        registry.register(write_tiny_release(tmp_path / "two", match=0.1).folder, GOOD)


def test_damaged_folder_is_refused_and_leaves_nothing(registry: ReleaseRegistry, tmp_path: Path) -> None:
    release = write_tiny_release(tmp_path / "one")
    release.model_path.write_bytes(b"altered")
    with pytest.raises(ReleaseError, match="altered"):
        registry.register(release.folder, GOOD)
    assert registry.list() == []
    assert not registry.folder.exists()


def test_spaces_hang_together_by_alignments_of_what_was_not_refused(registry: ReleaseRegistry, tmp_path: Path) -> None:
    first = registry.open_served(write_tiny_release(tmp_path / "one"))
    registry.register(write_child_release(first, tmp_path / "two").folder, GOOD)
    registry.register(write_child_release(first, tmp_path / "three", seed=2).folder, BAD)
    registry.register(write_child_release(first, tmp_path / "four", seed=3, is_aligned=False).folder, GOOD)
    registry.withdraw("tiny-2-1")  # some edge may still run it
    alignments = registry.alignments()
    assert alignments.spaces == {"tiny-1-0", "tiny-2-1"}
    assert np.array_equal(alignments.between("tiny-1-0", "tiny-2-1"), np.eye(DIM)[:, ::-1])


def test_unknown_release_is_named(registry: ReleaseRegistry) -> None:
    with pytest.raises(NotFoundError, match="'other'"):
        registry.release("other")
    with pytest.raises(NotFoundError, match="no release is served"):
        registry.served()


def test_server_that_lost_its_lease_registers_nothing(engine: Engine, tmp_path: Path) -> None:
    leases = [
        Lease(engine, holder=name, duration_s=10, clock_us=lambda now_us=now_us: now_us)
        for name, now_us in (("a", 0), ("b", 1 << 40))
    ]  # type: ignore[misc]
    for lease in leases:
        lease.take()
    registry = ReleaseRegistry(engine, tmp_path / "releases", clock_us=lambda: 0, lease=leases[0])
    with pytest.raises(LeaseLostError, match="another server"):
        registry.register(write_tiny_release(tmp_path / "one").folder, GOOD)
    assert registry.list() == []

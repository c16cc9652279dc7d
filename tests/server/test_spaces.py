from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from fakes_spaces import (
    FAMILY,
    MIDDLE,
    NEW,
    OLD,
    STRANGE,
    WIDER_FAMILY,
    Fleet,
    Walk,
    assert_alike,
    crowd,
    family_parts,
    hours_later,
    prototypes,
    rotation,
    walks_of,
)
from fakes_stream import SERVED, ServerParts
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from reid.embedding import pack
from reid.errors import ReleaseError
from server.matching.consolidation import ConsolidationSettings, consolidate
from server.matching.constraints import overlapping_pairs
from server.matching.tracklets import MaturitySettings
from server.spaces import ServedSpace, Spaces, bring_tracklets
from server.storage.members import SqlMembers
from server.storage.schema import observations, persons, tracklet_means, tracklets
from server.types import Actor, TrackletName


@pytest.fixture
def mixed(parts: ServerParts) -> ServerParts:
    """A server of the middle release that takes edges of the others, too."""
    return family_parts(parts, serves=MIDDLE)


def test_only_spaces_of_the_family_are_known() -> None:
    spaces = Spaces(MIDDLE, FAMILY)
    assert spaces.known == {OLD.space, MIDDLE.space, NEW.space}
    assert not spaces.knows(STRANGE.space)
    with pytest.raises(ReleaseError, match="no chain of releases"):
        spaces.bring(np.eye(8, dtype=np.float32), STRANGE.space)


def test_vectors_of_the_served_space_are_left_alone() -> None:
    vectors = rotation(9)
    assert Spaces(MIDDLE, FAMILY).bring(vectors, MIDDLE.space) is vectors


@given(st.integers(0, 10_000), st.lists(st.sampled_from([OLD, MIDDLE, NEW]), min_size=12, max_size=12))
@settings(max_examples=12, deadline=None)
def test_persons_are_the_same_whatever_release_each_edge_runs(seed: int, spaces: list[ServedSpace]) -> None:
    with TemporaryDirectory() as plain_folder, TemporaryDirectory() as mixed_folder:
        plain, mixed = ServerParts(Path(plain_folder)), family_parts(ServerParts(Path(mixed_folder)), serves=MIDDLE)
        one, other = Fleet(plain), Fleet(mixed)
        for walk, served in zip(crowd(seed), spaces, strict=True):
            one.send(walk)
            other.send(walk, served)
        assert one.persons() == other.persons()
        assert_alike(mixed, mixed.reopen())
        plain.engine.dispose()
        mixed.engine.dispose()


def test_a_person_is_met_again_by_an_edge_of_another_release_after_a_restart(mixed: ServerParts) -> None:
    Fleet(mixed).send(walks_of([0])[0], OLD)
    again = Fleet(mixed.reopen())
    again.send(Walk(person=0, camera=2, start_s=60, tracklet_id=1), NEW)
    assert set(again.persons().values()) == {1}


def test_what_is_stored_is_what_came(mixed: ServerParts) -> None:
    walk = walks_of([3])[0]
    Fleet(mixed).send(walk, NEW)
    with mixed.engine.connect() as connection:
        stored = list(connection.scalars(select(observations.c.embedding).order_by(observations.c.seq)))
        (row,) = connection.execute(select(tracklets))
    assert stored == [pack(embedding) for embedding in walk.embeddings(NEW)]
    total = np.frombuffer(row.embedding_sum, dtype="<f4")
    assert row.space == NEW.space
    assert np.allclose(total, np.sum(walk.embeddings(NEW), axis=0), atol=1e-5)


def test_a_tracklet_of_another_space_grows_and_is_recalled_as_it_was(mixed: ServerParts) -> None:
    walk = walks_of([1])[0]
    fleet = Fleet(mixed)
    fleet.send(walk, OLD)
    hours_later(mixed)
    fleet.send(Walk(person=2, camera=2, start_s=90, tracklet_id=9), MIDDLE)  # the first leaves memory
    fleet.send(replace(walk, start_s=8, seed=5), OLD)
    (found,) = mixed.records.find_tracklets([TrackletName(1, walk.tracklet_id, OLD.space)], mixed.ingest.spaces)
    assert (found.num_observations, found.person_id) == (8, 1)
    assert found.native_sum is not None
    native = np.sum([*walk.embeddings(OLD), *replace(walk, seed=5).embeddings(OLD)], axis=0)
    assert np.allclose(found.native_sum, native, atol=1e-5)
    assert np.allclose(found.embedding_sum, native @ rotation(1), atol=1e-5)


def test_one_number_in_two_spaces_is_two_tracklets_and_harms_nobody(mixed: ServerParts) -> None:
    fleet = Fleet(mixed)
    walk = walks_of([0])[0]
    fleet.send(walk, OLD)
    fleet.send(replace(walk, start_s=30), MIDDLE)
    with mixed.engine.connect() as connection:
        kept = {row.space: row.num_observations for row in connection.execute(select(tracklets))}
    assert kept == {OLD.space: 4, MIDDLE.space: 4}
    assert mixed.ingest.num_persons == 1
    assert_alike(mixed, mixed.reopen())


def test_tracklets_of_strange_spaces_are_left_out_and_counted(parts: ServerParts) -> None:
    strange = replace(parts, serves=STRANGE)
    Fleet(strange).send(walks_of([0])[0], STRANGE)
    ours = family_parts(parts)
    assert (ours.ingest.num_left_out, ours.ingest.num_persons) == (1, 0)
    left_out: Counter[str] = Counter()
    assert list(ours.records.iter_tracklets(ours.ingest.spaces, left_out=left_out)) == []
    assert left_out == {STRANGE.space: 1}


def test_an_alignment_that_comes_later_brings_them_in(parts: ServerParts) -> None:
    Fleet(replace(parts, serves=STRANGE)).send(walks_of([0])[0], STRANGE)
    ours = family_parts(parts)
    ours.ingest.know(WIDER_FAMILY)
    Fleet(ours).send(Walk(person=4, camera=2, start_s=50, tracklet_id=7), OLD)
    assert (ours.ingest.num_left_out, ours.ingest.num_persons) == (0, 2)


def test_nobody_is_in_one_camera_twice_at_a_moment_in_two_spaces(mixed: ServerParts) -> None:
    fleet = Fleet(mixed)
    walk = walks_of([0])[0]
    fleet.send(walk, OLD)
    fleet.send(replace(walk, tracklet_id=2, seed=4), NEW)
    held = list(mixed.records.iter_tracklets(mixed.ingest.spaces))
    spans = np.array([one.span for one in held], dtype=np.int64)
    assert len(list(overlapping_pairs(spans[:, 0], spans[:, 1], spans[:, 2]))) == 1
    assert len({one.person_id for one in held}) == 2


def test_views_of_all_spaces_come_in_the_served_one(mixed: ServerParts) -> None:
    fleet = Fleet(mixed)
    for served, walk in zip((OLD, MIDDLE, NEW), walks_of([2, 2, 2]), strict=True):
        fleet.send(walk, served)
    views = mixed.summaries.read_views([1], spaces=mixed.ingest.spaces, most_per_person=99)
    wanted = Walk(person=2, camera=1, start_s=0, tracklet_id=1).embeddings(MIDDLE)[0]
    assert len(views.person_ids) == 12
    assert (views.embeddings @ wanted).min() > 0.9


def test_a_tracklet_embedded_again_counts_by_that(parts: ServerParts) -> None:
    Fleet(family_parts(parts)).send(walks_of([0])[0], OLD)
    mean = rotation(7)[0]
    assert parts.records.put_tracklet_means(NEW.space, {1: mean, 99: mean}) == 1
    assert parts.records.put_tracklet_means(NEW.space, {1: mean}) == 1  # again
    moved = family_parts(parts, serves=NEW)
    (held,) = moved.records.iter_tracklets(moved.ingest.spaces)
    assert np.allclose(held.embedding_sum, held.weight * mean, atol=1e-5)
    assert np.allclose(next(iter(prototypes(moved).values())), mean, atol=1e-5)
    (old,) = family_parts(parts).records.iter_tracklets(Spaces(OLD, FAMILY))
    assert old.mean is None


def test_it_goes_on_counting_by_that_when_late_views_come(parts: ServerParts) -> None:
    walk = walks_of([0])[0]
    fleet = Fleet(family_parts(parts))
    fleet.send(walk, OLD)
    parts.records.put_tracklet_means(NEW.space, {1: rotation(7)[0]})
    moved = family_parts(parts, serves=NEW)
    fleet.parts = moved
    fleet.send(replace(walk, start_s=10, seed=3), OLD)
    assert_alike(moved, moved.reopen())
    (held,) = moved.records.iter_tracklets(moved.ingest.spaces)
    assert held.num_observations == 8
    assert held.native_sum is not None
    assert np.allclose(held.embedding_sum, held.weight * rotation(7)[0], atol=1e-5)


def test_what_was_embedded_again_goes_with_its_tracklet(mixed: ServerParts) -> None:
    Fleet(mixed).send(walks_of([0])[0], OLD)
    mixed.records.put_tracklet_means(MIDDLE.space, {1: rotation(7)[0]})
    deletion = mixed.records.delete_tracklets(spaces=mixed.ingest.spaces, before_us=2**60, limit=9)
    with mixed.engine.connect() as connection:
        assert connection.execute(select(tracklet_means)).all() == []
    assert deletion.num_tracklets == 1


def test_a_deleted_tracklet_is_given_back_as_memory_held_it(mixed: ServerParts) -> None:
    fleet = Fleet(mixed)
    for walk, served in zip(walks_of([0, 0, 1]), (OLD, MIDDLE, NEW), strict=True):
        fleet.send(walk, served)
    again = mixed.reopen()
    deletion = again.records.delete_tracklets(spaces=again.ingest.spaces, before_us=2**60, limit=2)
    again.ingest.let_go(deletion.tracklets)
    assert_alike(again, again.reopen())
    assert again.ingest.num_persons == 1


def test_bringing_there_and_back_changes_nothing(mixed: ServerParts) -> None:
    Fleet(mixed).send(walks_of([0])[0], OLD)
    (held,) = mixed.records.iter_tracklets(Spaces(OLD, FAMILY))
    came = held.embedding_sum
    for served in (NEW, MIDDLE, OLD):
        bring_tracklets([held], Spaces(served, FAMILY), {})
    assert held.native_sum is None
    assert np.array_equal(held.embedding_sum, came)


def test_with_one_space_nothing_is_mapped(parts: ServerParts) -> None:
    Fleet(parts).send(walks_of([0])[0])
    (held,) = parts.records.iter_tracklets(Spaces(SERVED))
    assert (held.native_sum, held.mean, held.space) == (None, None, SERVED.space)


def test_consolidation_joins_one_person_over_spaces_and_nobody_else(mixed: ServerParts) -> None:
    fleet = Fleet(mixed)
    for walk, served in zip(walks_of([0, 1, 0, 1]), (OLD, NEW, NEW, MIDDLE), strict=True):
        fleet.send(walk, served)
    with mixed.engine.begin() as connection:  # tear both apart
        connection.execute(insert(persons), [{"person_id": number, "created_us": 1} for number in (3, 4)])
        for key in (3, 4):
            connection.execute(update(tracklets).where(tracklets.c.tracklet_key == key).values(person_id=key))
    members = SqlMembers(mixed.engine, spaces=lambda: mixed.ingest.spaces)
    regroupings = consolidate(
        members.read_members([1, 2, 3, 4]),
        [],
        settings=ConsolidationSettings(),
        maturity=MaturitySettings(),
        threshold=MIDDLE.threshold,
        next_person_id=5,
    )
    assert [dict(one.folded_persons) for one in regroupings] == [{3: 1}, {4: 2}]


def test_a_person_of_strange_spaces_too_is_erased_whole(parts: ServerParts) -> None:
    Fleet(replace(parts, serves=STRANGE)).send(walks_of([0])[0], STRANGE)
    ours = family_parts(parts)
    deletion = ours.records.erase_person(1, Actor("ann", "operator"), 5, spaces=ours.ingest.spaces)
    ours.ingest.let_go(deletion.tracklets)
    assert (deletion.num_tracklets, deletion.num_observations, list(deletion.tracklets)) == (1, 4, [])
    with ours.engine.connect() as connection:
        assert connection.execute(select(tracklets)).all() == []


def test_a_name_used_in_two_spaces_is_split_off_with_both(mixed: ServerParts) -> None:
    fleet, walk = Fleet(mixed), walks_of([0])[0]
    fleet.send(walk, OLD)
    fleet.send(replace(walk, start_s=30), MIDDLE)
    members = SqlMembers(mixed.engine, spaces=lambda: mixed.ingest.spaces)
    name = ("edge1", "cam1", walk.tracklet_id)
    assert members.find_keys([name], person_id=1) == {name: {1, 2}}
    assert members.find_persons(since_us=0) == [1]

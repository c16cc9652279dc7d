from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.matching.constraints import constrained_parts, overlapping_pairs

spans = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20), st.integers(0, 6)), max_size=20)


@given(spans)
def test_the_sweep_finds_exactly_the_pairs_that_share_a_moment(items: list[tuple[int, int, int]]) -> None:
    cameras, starts, ends = (
        (np.array(column) for column in zip(*[(c, s, s + d) for c, s, d in items], strict=True))
        if (items)
        else (np.empty(0, dtype=np.int64),) * 3
    )
    found = [tuple(sorted(pair)) for pair in overlapping_pairs(cameras, starts, ends)]
    wanted = [
        (a, b)
        for a, b in combinations(range(len(items)), 2)
        if cameras[a] == cameras[b] and starts[a] <= ends[b] and starts[b] <= ends[a]
    ]
    assert sorted(found) == wanted


pair = st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda ab: ab[0] != ab[1])


@given(st.lists(pair, max_size=6), st.lists(st.tuples(st.booleans(), pair), max_size=10))
def test_what_is_certain_always_holds(apart: list[tuple[int, int]], said: list[tuple[bool, tuple[int, int]]]) -> None:
    parts = constrained_parts(8, apart, said)
    assert all(parts.part_N[a] != parts.part_N[b] for a, b in apart)
    assert sorted(sample for part in parts.members() for sample in part) == list(range(8))


def test_the_first_word_counts_most() -> None:
    assert constrained_parts(2, [], [(True, (0, 1)), (False, (0, 1))]).members() == [[0, 1]]
    assert constrained_parts(2, [], [(False, (0, 1)), (True, (0, 1))]).members() == [[0], [1]]


def test_enemies_of_a_part_are_enemies_of_all_in_it() -> None:
    assert constrained_parts(3, [(0, 2)], [(True, (0, 1)), (True, (1, 2))]).members() == [[0, 1], [2]]

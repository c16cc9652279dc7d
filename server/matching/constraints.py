"""Which tracklets must be together, and which must not: parts that grow by joining, and never join two enemies.

Two tracklets of one camera at one moment are two people: that is certain. Then comes an operator's word, the later one
first. A word that contradicts what stands already is void.

Shape letters: N tracklets, P pairs.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from reid.types import IntArray

Pair = tuple[int, int]


class Parts:
    """A partition of 0..N-1 that grows by joining parts, under pairs that must stay apart.

    Args:
        num_samples: N; every sample begins as a part of its own.
    """

    def __init__(self, num_samples: int) -> None:
        self.part_N: IntArray = np.arange(num_samples)
        self._members = {sample: [sample] for sample in range(num_samples)}
        self._enemies: defaultdict[int, set[int]] = defaultdict(set)

    def forbid(self, one: int, other: int) -> bool:
        """Keep two samples apart from now on; False if they are together already."""
        a, b = int(self.part_N[one]), int(self.part_N[other])
        if a == b:
            return False
        self._enemies[a].add(other)
        self._enemies[b].add(one)
        return True

    def may_join(self, a: int, b: int) -> bool:
        """True if no member of part `a` is an enemy of one of part `b`."""
        return self._enemies[a].isdisjoint(self._members[b])

    def join(self, a: int, b: int) -> bool:
        """Make part `b` one with part `a`, whose name stays; False if they hold enemies."""
        if a == b:
            return True
        if not self.may_join(a, b):
            return False
        moving = self._members.pop(b)
        self.part_N[moving] = a
        self._members[a] += moving
        self._enemies[a] |= self._enemies.pop(b, set())
        return True

    def require(self, one: int, other: int) -> bool:
        """Bring two samples together; False if their parts hold enemies."""
        return self.join(*sorted((int(self.part_N[one]), int(self.part_N[other]))))

    def members(self) -> list[list[int]]:
        """Samples of each part, in order of the parts' names."""
        return [sorted(self._members[part]) for part in sorted(self._members)]


def overlapping_pairs(cameras_N: IntArray, starts_us_N: IntArray, ends_us_N: IntArray) -> Iterator[Pair]:
    """Pairs of tracklets in one camera that share a moment, both ends of a span included, each once."""
    open_until: list[tuple[int, int]] = []
    last_camera = -1
    for row in np.lexsort((starts_us_N, cameras_N)).tolist():
        if cameras_N[row] != last_camera:
            last_camera, open_until = int(cameras_N[row]), []
        while open_until and open_until[0][0] < starts_us_N[row]:
            heapq.heappop(open_until)
        for _, other in open_until:
            yield other, row
        heapq.heappush(open_until, (int(ends_us_N[row]), row))


def constrained_parts(num_samples: int, apart: Iterable[Pair], said: Iterable[tuple[bool, Pair]]) -> Parts:
    """Parts under what is certain, and what was said.

    Args:
        num_samples: N.
        apart: Pairs that are certainly two people.
        said: (True for together, pair), the word that counts most first.
    """
    parts = Parts(num_samples)
    for pair in apart:
        parts.forbid(*pair)
    for is_together, pair in said:
        if is_together:
            parts.require(*pair)
        else:
            parts.forbid(*pair)
    return parts

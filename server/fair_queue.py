"""Batches that wait for the writer: every stream in its own line, the lines served in turn.

A stream that floods fills its own line and waits; the batch of another one goes into the next step. Pure: no waiting.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Line = TypeVar("Line", bound=Hashable)
Item = TypeVar("Item")


class FairQueue(Generic[Line, Item]):
    """Items by line, each line first in, first out."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Line, deque[Item]] = OrderedDict()  # the line that is served next comes first
        self._num_items = 0

    def __len__(self) -> int:
        """Number of items."""
        return self._num_items

    def put(self, line: Line, item: Item) -> None:
        """Add an item behind all others of its line."""
        self._lines.setdefault(line, deque()).append(item)
        self._num_items += 1

    def take(self, *, most: int, size: Callable[[Item], int]) -> list[Item]:
        """Remove items, one of each line in turn, until their sizes reach `most`; at least one if there is any."""
        taken: list[Item] = []
        total = 0
        while self._lines and (not taken or total < most):
            line, items = self._lines.popitem(last=False)
            taken.append(items.popleft())
            total += size(taken[-1])
            if items:
                self._lines[line] = items  # at the end
        self._num_items -= len(taken)
        return taken


class StepLimit:
    """How many observations a step may take, so that it lasts about as long as wanted.

    Args:
        most: Never more than this.
        target_s: How long a step should last.

    Attributes:
        observations: The limit for the next step.
    """

    def __init__(self, *, most: int, target_s: float) -> None:
        self.observations = min(most, _FIRST)
        self._most = most
        self._target_s = target_s

    def note(self, num_observations: int, duration_s: float) -> None:
        """Learn from a step: too long ones shrink the limit, short ones that used it up let it grow."""
        if duration_s > self._target_s:
            self.observations = max(min(_LEAST, self._most), int(self.observations * _SHRINK))
        elif num_observations >= self.observations and duration_s < _SHRINK * self._target_s:
            self.observations = min(self._most, int(self.observations * _GROW) + 1)


_FIRST = 512
_LEAST = 64
"""A step that takes fewer pays more for its commit than for its rows."""
_SHRINK = 0.75
_GROW = 1.2

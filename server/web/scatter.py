"""A plane of points as shapes to draw: places in a view box, and a number at each cluster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from server.adaptation.folder import ProjectedPoint

WIDTH, HEIGHT = 640, 440
_MARGIN = 16
_NUM_COLOURS = 8


class Mark(NamedTuple):
    """A point in the view box."""

    x: float
    y: float
    cluster: int
    colour: int
    is_support: bool


class Label(NamedTuple):
    """The number of a cluster, in the midst of its samples."""

    x: float
    y: float
    cluster: int


class Scatter(NamedTuple):
    """What is drawn, in a view box of WIDTH x HEIGHT."""

    marks: tuple[Mark, ...]
    labels: tuple[Label, ...]

    @property
    def num_supports(self) -> int:
        """Marks of supports."""
        return sum(mark.is_support for mark in self.marks)


def scatter_of(points: Sequence[ProjectedPoint]) -> Scatter:
    """Fit points into the view box, both axes alike; clusters are numbered anew, from 1.

    Colours repeat after eight clusters, so each cluster has its number written too.
    """
    number_of = {cluster: number for number, cluster in enumerate(sorted({point.cluster for point in points}), start=1)}
    left, top, scale = _frame(points)
    marks = tuple(
        Mark(
            round(WIDTH / 2 + scale * (point.x - left), 1),
            round(HEIGHT / 2 + scale * (point.y - top), 1),
            number_of[point.cluster],
            1 + (number_of[point.cluster] - 1) % _NUM_COLOURS,
            point.is_support,
        )
        for point in points
    )
    return Scatter(marks, _labels(marks))


def _frame(points: Sequence[ProjectedPoint]) -> tuple[float, float, float]:
    """Middle of the points, and pixels a unit."""
    xs, ys = [point.x for point in points] or [0.0], [point.y for point in points] or [0.0]
    middle_x, middle_y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    scales = [
        (side - 2 * _MARGIN) / span
        for side, span in ((WIDTH, max(xs) - min(xs)), (HEIGHT, max(ys) - min(ys)))
        if span > 0
    ]
    return middle_x, middle_y, min(scales, default=1.0)


def _labels(marks: Sequence[Mark]) -> tuple[Label, ...]:
    samples: defaultdict[int, list[Mark]] = defaultdict(list)
    for mark in marks:
        if not mark.is_support:
            samples[mark.cluster].append(mark)
    return tuple(
        Label(median(mark.x for mark in found), median(mark.y for mark in found), cluster)
        for cluster, found in sorted(samples.items())
    )

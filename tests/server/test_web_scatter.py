from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.adaptation.folder import ProjectedPoint
from server.web.scatter import HEIGHT, WIDTH, scatter_of

COORDINATE = st.floats(-1e6, 1e6)
POINTS = st.lists(st.builds(ProjectedPoint, COORDINATE, COORDINATE, st.integers(0, 30), st.booleans()))


@given(POINTS)
def test_every_point_lies_in_the_picture(points: list[ProjectedPoint]) -> None:
    drawn = scatter_of(points)
    assert len(drawn.marks) == len(points)
    assert all(0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT and 1 <= mark.colour <= 8 for mark in drawn.marks)


def test_both_axes_have_one_scale() -> None:
    a, b, c = scatter_of([ProjectedPoint(*at, 0, False) for at in ((0, 0), (1, 0), (0, 2))]).marks
    assert 2 * (b.x - a.x) == c.y - a.y


def test_clusters_are_numbered_anew_in_the_midst_of_their_samples() -> None:
    points = [ProjectedPoint(x, 0, cluster, False) for x, cluster in ((0, 7), (2, 7), (4, 9))]
    drawn = scatter_of([*points, ProjectedPoint(3, 0, 9, True)])
    assert [label.cluster for label in drawn.labels] == [1, 2]
    assert drawn.labels[1].x == drawn.marks[2].x
    assert drawn.num_supports == 1

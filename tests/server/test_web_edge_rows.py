from __future__ import annotations

from reid.types import ReleaseRef
from server.counts import EdgeCounts
from server.releases.fleet import EdgeReport, FleetBook, Pace
from server.releases.rollout import RolloutSettings
from server.types import EdgeSummary
from server.web.edge_rows import EdgeRow, edge_rows

RELEASE = ReleaseRef(name="r", version="1", space="s")
STORED = EdgeSummary(edge_id="b", num_observations=9, acked_seq=9, last_seen_us=5, camids=("hall",))
REPORT = EdgeReport(edge_id="c", release=RELEASE, spool_depth=4, spool_dropped=2)


def rows() -> list[EdgeRow]:
    return edge_rows(
        [STORED],
        reports={"c": REPORT},
        paces={"c": Pace(frames_hz=1, dropped_hz=0, embeddings_hz=1)},
        attending={"c"},
        counts={"a": EdgeCounts(spool_depth=7, clock_offset_us=3)},
        connected_camids={"a": ("door",)},
    )


def test_every_edge_that_was_ever_heard_has_a_row() -> None:
    assert [(row.edge_id, row.state, row.camids) for row in rows()] == [
        ("a", "streaming", ("door",)),
        ("b", "away", ("hall",)),
        ("c", "attending", ()),
    ]


def test_what_an_edge_says_of_its_spool_is_shown() -> None:
    assert [(row.spool_depth, row.spool_dropped, row.clock_offset_us) for row in rows()] == [
        (7, 0, 3),
        (0, 0, 0),
        (4, 2, 0),
    ]


def test_the_pace_is_that_between_two_reports() -> None:
    times = iter([0, 1_000_000, 3_000_000])
    book = FleetBook(RolloutSettings(), clock_us=lambda: next(times))
    for frames, dropped in ((10, 0), (30, 4)):
        book.note(EdgeReport(edge_id="c", release=RELEASE, frames=frames, frames_dropped=dropped, embeddings=frames))
    assert book.paces() == {"c": Pace(frames_hz=10.0, dropped_hz=2.0, embeddings_hz=10.0)}


def test_one_report_is_no_pace() -> None:
    book = FleetBook(RolloutSettings(), clock_us=lambda: 1)
    book.note(REPORT)
    assert not book.paces()

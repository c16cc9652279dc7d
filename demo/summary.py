"""The result of the demo: figures, what went wrong, and how both are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from demo.refresh import Refresh
from demo.truth import IdentityScores

DETECTOR = "true boxes with jitter"
"""What stands in for a detector; some people are missed and some boxes are around nothing."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What went from the cameras to the server.

    Attributes:
        frames: Frames that the edges worked on.
        frames_lost: Of these, dropped, left out or failed.
        sent: Embeddings sent, repeats included.
        acknowledged: Embeddings that the edges hold acknowledgements for.
        stored: Embeddings that the server counts.
        lost: Embeddings that an edge could not keep or that were refused.
        remaining: Embeddings that are still in a spool.
        embedding_bytes: All messages of embeddings to the server.
        crop_bytes: All messages of crops to it.
        video_s: How long all cameras together were watched.
        h264_bytes_per_s: A real encode of one camera's frames, per second.
    """

    frames: int
    frames_lost: int
    sent: int
    acknowledged: int
    stored: int
    lost: int
    remaining: int
    embedding_bytes: int
    crop_bytes: int
    video_s: float
    h264_bytes_per_s: float

    @property
    def h264_bytes(self) -> float:
        """What the same time would take as video."""
        return self.h264_bytes_per_s * self.video_s

    @property
    def ratio(self) -> float:
        """How many times more the video is than embeddings and crops."""
        sent = self.embedding_bytes + self.crop_bytes
        return self.h264_bytes / sent if sent else 0.0

    def failures(self) -> list[str]:
        """What must not happen, in words; empty when all is well."""
        wanted = [
            (self.frames_lost == 0, f"{self.frames_lost} of {self.frames} frames were dropped, left out or failed"),
            (self.acknowledged > 0, "no embedding was acknowledged"),
            (self.stored == self.acknowledged, f"{self.stored} embeddings stored, {self.acknowledged} acknowledged"),
            (self.lost == 0, f"{self.lost} embeddings were lost or refused"),
            (self.remaining == 0, f"{self.remaining} embeddings remain in the spools"),
        ]
        return [complaint for is_well, complaint in wanted if not is_well]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that the demo found.

    Attributes:
        transfer: What went over the wire.
        before: How well people were told apart before the refresh.
        after: After it; None if there was none.
        refresh: What became of it; None if none was wanted.
        swap_gap_ms: For how long crops waited at most while an edge changed its release.
        sheet: The contact sheet.
        wall_s: How long the demo took.
        seed: Of the site.
        release: That the server serves at the end.
    """

    transfer: Transfer
    before: IdentityScores
    after: IdentityScores | None
    refresh: Refresh | None
    swap_gap_ms: float
    sheet: Path
    wall_s: float
    seed: int
    release: str

    def failures(self) -> list[str]:
        """What must not happen, in words; empty when all is well."""
        failures = self.transfer.failures()
        if not self.sheet.is_file():
            failures.append(f"the contact sheet {self.sheet} was not written")
        if self.refresh is not None and self.refresh.outcome != "done":
            failures.append(f"the refresh was {self.refresh.outcome}: {self.refresh.why}")
        return failures

    def to_json(self) -> dict[str, Any]:
        """As nested dicts of plain values."""
        return {
            **asdict(self.transfer),
            "ratio": round(self.transfer.ratio, 2),
            "identities": _scores_to_json(self.before),
            "identities_after": None if self.after is None else _scores_to_json(self.after),
            "refresh": None if self.refresh is None else asdict(self.refresh),
            "swap_gap_ms": self.swap_gap_ms,
            "detector": DETECTOR,
            "seed": self.seed,
            "release": self.release,
            "sheet": str(self.sheet),
            "wall_s": round(self.wall_s, 1),
            "failures": self.failures(),
        }


def summary_table(summary: Summary) -> Table:
    """The summary for people."""
    table = Table(title="Osprey demo: a simulated site", show_header=False, title_justify="left", min_width=72)
    for name, value in [*_transfer_rows(summary.transfer), *_identity_rows(summary), *_refresh_rows(summary)]:
        table.add_row(name, value)
    table.add_section()
    table.add_row("detector", DETECTOR)
    table.add_row("site and release", f"seed {summary.seed}; {summary.release}")
    table.add_row("contact sheet", str(summary.sheet))
    table.add_row("time", f"{summary.wall_s:.0f} s")
    return table


def in_words(identities: IdentityScores) -> str:
    """Scores in one line."""
    pairs = identities.pairs
    return (
        f"F1 {pairs.f1:.3f} (precision {pairs.precision:.3f}, recall {pairs.recall:.3f}), IDF1 {identities.idf1:.3f}; "
        f"{identities.num_tracklets} tracklets of {identities.num_people} people, {identities.num_persons} found"
    )


def _scores_to_json(identities: IdentityScores) -> dict[str, Any]:
    pairs = identities.pairs
    scores = {"precision": pairs.precision, "recall": pairs.recall, "f1": pairs.f1}
    return {**asdict(identities), "pairs": {**asdict(pairs), **scores}}


def _transfer_rows(transfer: Transfer) -> Sequence[tuple[str, str]]:
    return [
        ("frames", f"{transfer.frames:,}, {transfer.frames_lost} of them lost"),
        ("embeddings", f"{transfer.sent:,} sent, {transfer.acknowledged:,} acknowledged, {transfer.stored:,} stored"),
        (
            "bytes sent",
            f"{transfer.embedding_bytes / 1e6:.2f} MB of embeddings, {transfer.crop_bytes / 1e6:.2f} MB of crops; as "
            f"H.264 {transfer.h264_bytes / 1e6:.2f} MB, {transfer.ratio:.1f} times more",
        ),
    ]


def _identity_rows(summary: Summary) -> Sequence[tuple[str, str]]:
    rows = [("same person across cameras", in_words(summary.before))]
    if summary.after is not None:
        rows.append(("after the refresh", in_words(summary.after)))
    return rows


def _refresh_rows(summary: Summary) -> Sequence[tuple[str, str]]:
    refresh = summary.refresh
    if refresh is None:
        return []
    return [
        ("refresh", f"{refresh.outcome}: {refresh.why}; {refresh.duration_s:.0f} s"),
        ("crops asked for", f"{refresh.num_crops}, {refresh.crop_bytes / 1e6:.2f} MB"),
        ("changed their release", f"{refresh.num_edges} edges; crops waited for {summary.swap_gap_ms:g} ms at most"),
    ]

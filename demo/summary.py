"""The result of the demo: figures, what went wrong, and how both are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from demo.truth import IdentityScores

DETECTOR = "true boxes with jitter"
"""What stands in for a detector; some people are missed and some boxes are around nothing."""


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What went from the cameras to the server.

    Attributes:
        frames: Frames that the edges worked on.
        expected_frames: Frames that the site has.
        sent: Embeddings sent, repeats included.
        acknowledged: Embeddings that the edges hold acknowledgements for.
        stored: Embeddings that the server counts.
        lost: Embeddings that an edge could not keep or that were refused.
        remaining: Embeddings that are still in a spool.
        embedding_bytes: All messages to the server.
        h264_bytes: A real encode of the same frames.
    """

    frames: int
    expected_frames: int
    sent: int
    acknowledged: int
    stored: int
    lost: int
    remaining: int
    embedding_bytes: int
    h264_bytes: int

    @property
    def ratio(self) -> float:
        """How many times more the video is."""
        return self.h264_bytes / self.embedding_bytes if self.embedding_bytes else 0.0

    def failures(self) -> list[str]:
        """What must not happen, in words; empty when all is well."""
        wanted = [
            (self.frames == self.expected_frames, f"{self.frames} frames read, the site has {self.expected_frames}"),
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
        identities: How well people were told apart.
        sheet: The contact sheet.
        wall_s: How long the demo took.
        seed: Of the site.
        release: The release that ran.
    """

    transfer: Transfer
    identities: IdentityScores
    sheet: Path
    wall_s: float
    seed: int
    release: str

    def failures(self) -> list[str]:
        """What must not happen, in words; empty when all is well."""
        failures = self.transfer.failures()
        if not self.sheet.is_file():
            failures.append(f"the contact sheet {self.sheet} was not written")
        return failures

    def to_json(self) -> dict[str, Any]:
        """As nested dicts of plain values."""
        pairs = self.identities.pairs
        scores = {"precision": pairs.precision, "recall": pairs.recall, "f1": pairs.f1}
        identities = {**asdict(self.identities), "pairs": {**asdict(pairs), **scores}}
        return {
            **asdict(self.transfer),
            "ratio": round(self.transfer.ratio, 2),
            "identities": identities,
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
    for name, value in [*_transfer_rows(summary.transfer), *_identity_rows(summary.identities)]:
        table.add_row(name, value)
    table.add_section()
    table.add_row("detector", DETECTOR)
    table.add_row("site and release", f"seed {summary.seed}; {summary.release}")
    table.add_row("contact sheet", str(summary.sheet))
    table.add_row("time", f"{summary.wall_s:.0f} s")
    return table


def _transfer_rows(transfer: Transfer) -> Sequence[tuple[str, str]]:
    video, ours = transfer.h264_bytes, transfer.embedding_bytes
    return [
        ("frames", f"{transfer.frames:,}"),
        ("embeddings", f"{transfer.sent:,} sent, {transfer.acknowledged:,} acknowledged, {transfer.stored:,} stored"),
        ("bytes sent", f"{ours / 1e6:.2f} MB; as H.264 {video / 1e6:.2f} MB, {transfer.ratio:.1f} times more"),
    ]


def _identity_rows(identities: IdentityScores) -> Sequence[tuple[str, str]]:
    pairs = identities.pairs
    return [
        ("people", f"{identities.num_people} true, {identities.num_persons} found"),
        ("tracklets", f"{identities.num_tracklets}"),
        (
            "same person across cameras",
            f"F1 {pairs.f1:.3f} (precision {pairs.precision:.3f}, recall {pairs.recall:.3f})",
        ),
        ("IDF1 of stored sightings", f"{identities.idf1:.3f}"),
    ]

"""Consolidation: persons of a window who look alike become one, and one who falls apart becomes several. Pure.

1. It starts from the persons there are. Embeddings lose what is common to their camera, as in online matching.
2. Tracklets of one camera at one moment stay apart; then the words of operators hold, the latest first.
3. The tracklets of each person join by average linkage (`agglomeration`). A person whose last parts are too unlike to
   join is split. What then remains joins across persons in the same way, but must be more alike for that: whom online
   matching put together stays together, unless much speaks against it.
4. Every part takes the person it shares most views with, and no two take the same; the others become new persons. A
   person left with nothing is folded into the one that took most of it.

Both bounds lie below the release's threshold, because a mean over all pairs of tracklets is lower than the similarity
to a person's mean that online matching looks at. The result does not depend on the order of the tracklets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field, model_validator

from reid.settings import Settings
from reid.types import FloatArray, IntArray
from server.matching.agglomeration import agglomerate
from server.matching.camera_means import CameraMeans
from server.matching.constraints import Parts, constrained_parts, overlapping_pairs
from server.matching.links import Word
from server.matching.tracklets import MaturitySettings, mean_embedding, share, unit
from server.types import NO_PERSON, Tracklet


class ConsolidationSettings(Settings):
    """When and how what was decided online is looked at again."""

    interval_s: float = Field(default=1800.0, ge=0)
    """Time between two consolidations; 0 for on demand only."""
    window_s: float = Field(default=24 * 3600, gt=0)
    """Persons seen within this time before now are looked at, with all of their tracklets."""
    slack: float = Field(default=0.4, ge=0, le=1)
    """How far the least mean similarity of two persons who join lies below the release's threshold, as a share of
    1 - threshold."""
    split_slack: float = Field(default=0.55, ge=0, le=1)
    """Likewise of two parts of one person that stay together; not less than `slack`."""
    camera_prior: float = Field(default=10.0, gt=0)
    """A camera that saw this many persons has half of its own mean taken away; with more, more."""

    @model_validator(mode="after")
    def _check_splits_need_more_than_joins(self) -> ConsolidationSettings:
        if self.split_slack < self.slack:
            raise ValueError(
                f"split_slack is {self.split_slack} and slack {self.slack}: what was split would join again; raise "
                "split_slack to slack or more"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class Regrouping:
    """Persons that exchange tracklets with one another and with nobody else; each can be carried out by itself.

    Attributes:
        before: tracklet_key -> person_id, of all tracklets of these persons.
        moves: tracklet_key -> person_id, of those that change theirs.
        new_persons: person_ids to make; provisional, numbered from the `next_person_id` given.
        folded_persons: person_id -> the one that took most of it; it has no tracklet left.
    """

    before: Mapping[int, int]
    moves: Mapping[int, int]
    new_persons: tuple[int, ...] = ()
    folded_persons: Mapping[int, int] = field(default_factory=dict)


def consolidate(
    tracklets: Sequence[Tracklet],
    words: Sequence[Word],
    *,
    settings: ConsolidationSettings,
    maturity: MaturitySettings,
    threshold: float,
    next_person_id: int,
) -> list[Regrouping]:
    """Find the persons to join and to split.

    Args:
        tracklets: All tracklets of every person in the window, each once, in any order; every one has a person.
        words: What operators said, oldest first; words about other tracklets are passed over.
        settings: How alike is enough.
        maturity: How much young tracklets count.
        threshold: The release's least cosine of one person's tracklets.
        next_person_id: Larger than every person_id of these tracklets.

    Returns:
        What would change, in order of the least person_id; nothing for persons who stay as they are.
    """
    ordered = sorted(tracklets, key=lambda tracklet: tracklet.tracklet_key)
    if len(ordered) < 2:
        return []
    parts = _constrained(ordered, words)
    feats_ND = comparable_embeddings(ordered, settings, maturity)
    shares_N = np.array([share(tracklet, maturity) for tracklet in ordered], dtype=np.float32)
    for among, slack in ((_rows_by_person(ordered), settings.split_slack), ([np.arange(len(ordered))], settings.slack)):
        least = threshold - slack * (1.0 - threshold)
        agglomerate(feats_ND, shares_N, parts, among=among, least_similarity=least)
    return _regroupings(ordered, _named([[ordered[row] for row in part] for part in parts.members()], next_person_id))


def comparable_embeddings(
    tracklets: Sequence[Tracklet], settings: ConsolidationSettings, maturity: MaturitySettings
) -> FloatArray:
    """Embeddings of tracklets without what is common to their cameras, (N, D) float32, unit norm."""
    means = CameraMeans(prior=settings.camera_prior)
    met: set[tuple[int, int]] = set()
    for tracklet in tracklets:
        place = tracklet.camera_key, tracklet.person_id
        weight = share(tracklet, maturity)
        vector = np.float32(weight) * mean_embedding(tracklet)
        means.add(tracklet.camera_key, vector, weight, new_persons=int(place not in met))
        met.add(place)
    means.refresh()
    return np.stack([unit(mean_embedding(tracklet) - means.offset(tracklet.camera_key)) for tracklet in tracklets])


def _rows_by_person(tracklets: Sequence[Tracklet]) -> list[IntArray]:
    rows: defaultdict[int, list[int]] = defaultdict(list)
    for row, tracklet in enumerate(tracklets):
        rows[tracklet.person_id].append(row)
    return [np.array(mine) for mine in rows.values()]


def _constrained(tracklets: Sequence[Tracklet], words: Sequence[Word]) -> Parts:
    rows = {tracklet.tracklet_key: row for row, tracklet in enumerate(tracklets)}
    spans = np.array([tracklet.span for tracklet in tracklets], dtype=np.int64)
    said = [
        (word.is_together, (rows[word.one], rows[word.other]))
        for word in reversed(words)
        if word.one in rows and word.other in rows
    ]
    return constrained_parts(len(tracklets), overlapping_pairs(spans[:, 0], spans[:, 1], spans[:, 2]), said)


def _named(parts: Sequence[Sequence[Tracklet]], next_person_id: int) -> dict[int, int]:
    """Rule 4. Returns tracklet_key -> person_id."""
    shared: Counter[tuple[int, int]] = Counter()  # views by part and person
    for index, part in enumerate(parts):
        for tracklet in part:
            shared[index, tracklet.person_id] += tracklet.num_observations
    person_of_part: dict[int, int] = {}
    taken: set[int] = {NO_PERSON}
    for index, person_id in sorted(shared, key=lambda pair: (-shared[pair], pair[1], pair[0])):
        if index not in person_of_part and person_id not in taken:
            person_of_part[index] = person_id
            taken.add(person_id)
    without = [index for index in range(len(parts)) if index not in person_of_part]
    person_of_part.update(zip(without, range(next_person_id, next_person_id + len(without)), strict=True))
    return {tracklet.tracklet_key: person_of_part[index] for index, part in enumerate(parts) for tracklet in part}


def _regroupings(tracklets: Sequence[Tracklet], person_of: Mapping[int, int]) -> list[Regrouping]:
    """Take what changes apart into changes that do not touch one another."""
    moved = [tracklet for tracklet in tracklets if tracklet.person_id != person_of[tracklet.tracklet_key]]
    group_of = _connected((tracklet.person_id, person_of[tracklet.tracklet_key]) for tracklet in moved)
    groups: defaultdict[int, list[Tracklet]] = defaultdict(list)
    for tracklet in tracklets:
        if tracklet.person_id in group_of:
            groups[group_of[tracklet.person_id]].append(tracklet)
    return [_regrouping(groups[group], person_of) for group in sorted(groups)]


def _regrouping(tracklets: Sequence[Tracklet], person_of: Mapping[int, int]) -> Regrouping:
    before = {tracklet.tracklet_key: tracklet.person_id for tracklet in tracklets}
    after = {key: person_of[key] for key in before}
    old, left = set(before.values()), set(after.values())
    views: Counter[tuple[int, int]] = Counter()  # that went from one person to another
    for tracklet in tracklets:
        views[tracklet.person_id, after[tracklet.tracklet_key]] += tracklet.num_observations
    folded: dict[int, int] = {}
    for person_id, into in sorted(views, key=lambda pair: (-views[pair], pair)):
        if person_id not in left:
            folded.setdefault(person_id, into)
    return Regrouping(
        before=before,
        moves={key: person_id for key, person_id in after.items() if person_id != before[key]},
        new_persons=tuple(sorted(left - old)),
        folded_persons=folded,
    )


def _connected(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Name each connected group of numbers by its least member."""
    members: dict[int, set[int]] = {}
    for one, other in pairs:
        joined = members.get(one, {one}) | members.get(other, {other})
        for number in joined:
            members[number] = joined
    return {number: min(joined) for number, joined in members.items()}

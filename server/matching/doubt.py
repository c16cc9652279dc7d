"""Which pairs an operator should be asked about first: what is decided by a hair, and much hangs on. Pure.

1. A pair is two persons who may be one, or two halves of one person who may be two. Both are compared as consolidation
   compares them, by the mean similarity of their tracklets, against the bound at which it would join or part them.
2. The halves are grown around two tracklets of the person that are little alike; what an operator joined stays whole.
3. What is known is not asked: who was in one camera at one moment, and what an operator has said.
4. First comes the pair whose answer is worth most: the probability of the less likely answer, times the root of the
   number of pairs of tracklets between its sides. With the number itself this would be the expected error reduction of
   active learning; but sides are not pure, large ones least, and the root did better (docs/log.md).
5. Nobody is in two pairs: an answer changes what is doubtful about everybody in its pair.

Shape letters: N tracklets, P persons, U units, D embedding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reid.types import AnyArray, FloatArray, IntArray
from server.matching.consolidation import ConsolidationSettings, comparable_embeddings
from server.matching.constraints import constrained_parts, overlapping_pairs
from server.matching.links import Word
from server.matching.tracklets import MaturitySettings, share, unit
from server.types import Tracklet

_ROWS_AT_ONCE = 256
"""Persons that are compared with all others in one product; bounds memory."""
_CANDIDATES_PER_PAIR = 8
"""Pairs of persons looked at for each that is wanted: some are known, and most share persons."""
_ROUNDS = 8
"""In which tracklets may change their half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One half of a question.

    Attributes:
        person_id: Whose tracklets they are now.
        tracklet_keys: All that go with this side, in order.
        face: The one of them that the operator is shown, and speaks of: the one seen best, of those with pictures.
    """

    person_id: int
    tracklet_keys: tuple[int, ...]
    face: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtfulPair:
    """Are these one person, or two?

    Attributes:
        one: The side that keeps its person if they are parted, and gives it if they are joined.
        other: The other.
        similarity: Mean cosine of their tracklets, without what is common to each camera.
        probability: That they are one person, in [0, 1]; one half at the bound.
        stake: What an answer is worth; see rule 4.
    """

    one: Side
    other: Side
    similarity: float
    probability: float
    stake: float

    @property
    def is_together(self) -> bool:
        """True if the server takes them for one person now."""
        return self.one.person_id == self.other.person_id


@dataclass(frozen=True, slots=True)
class _Person:
    """One person's tracklets: rows of the arrays, their weighted sum (D,) float32 and weight."""

    person_id: int
    rows: IntArray
    vector_sum: FloatArray
    weight: float


class _Questions:
    """All that is compared.

    Args:
        tracklets: N, in order of their keys.
        words: What operators said of them.
        pictured: Keys of tracklets of which there are pictures.
    """

    def __init__(
        self,
        tracklets: Sequence[Tracklet],
        words: Sequence[Word],
        pictured: Container[int],
        *,
        settings: ConsolidationSettings,
        maturity: MaturitySettings,
        threshold: float,
        log_odds_per_cosine: float,
    ) -> None:
        self.tracklets = tracklets
        self._pictured = pictured
        self._feats_ND = comparable_embeddings(tracklets, settings, maturity)
        self._shares_N = np.array([share(tracklet, maturity) for tracklet in tracklets], dtype=np.float32)
        self._join_bound = threshold - settings.slack * (1.0 - threshold)
        self._part_bound = threshold - settings.split_slack * (1.0 - threshold)
        self._slope = log_odds_per_cosine
        self.persons = self._gather()
        self._rows_of = {person.person_id: person.rows for person in self.persons}
        self._words: defaultdict[tuple[int, int], list[Word]] = defaultdict(list)
        person_of = {tracklet.tracklet_key: tracklet.person_id for tracklet in tracklets}
        for word in words:
            if word.one in person_of and word.other in person_of:
                self._words[_ordered(person_of[word.one], person_of[word.other])].append(word)

    def between_persons(self, most: int) -> list[DoubtfulPair]:
        """The most doubtful pairs of two persons, in any order; some may be known already."""
        means_PD = np.stack([person.vector_sum / np.float32(person.weight) for person in self.persons])
        weights_P = np.sqrt([person.weight for person in self.persons])
        best: list[tuple[float, int, int, float]] = []
        for start in range(0, len(means_PD), _ROWS_AT_ONCE):
            similarities = means_PD[start : start + _ROWS_AT_ONCE] @ means_PD.T
            stakes = self._doubt(similarities, self._join_bound) * weights_P[start : start + _ROWS_AT_ONCE, None]
            stakes = np.triu(stakes * weights_P, k=start + 1)
            for flat in np.argsort(stakes, axis=None, kind="stable")[::-1][:most].tolist():
                row, column = divmod(flat, len(means_PD))
                if stakes[row, column] > 0:
                    best.append((-float(stakes[row, column]), start + row, column, float(similarities[row, column])))
            best = sorted(best)[:most]
        return [self._pair_of_persons(-stake, a, b, similarity) for stake, a, b, similarity in best]

    def within_persons(self) -> Iterator[DoubtfulPair]:
        """Of everybody with two tracklets or more that no word holds together, their two halves."""
        for person in self.persons:
            units_U = self._units(person)
            if units_U.max(initial=0) > 0:
                yield self._pair_of_halves(person, self._halves(person, units_U))

    def is_known(self, pair: DoubtfulPair) -> bool:
        """True if an operator spoke of two persons, or both were in one camera at one moment."""
        if pair.is_together:
            return False  # units and `matching` have seen to it
        if self._words.get(_ordered(pair.one.person_id, pair.other.person_id)):
            return True
        rows = [row for side in (pair.one, pair.other) for row in self._rows_of[side.person_id].tolist()]
        spans = np.array([self.tracklets[row].span for row in rows], dtype=np.int64)
        return next(overlapping_pairs(spans[:, 0], spans[:, 1], spans[:, 2]), None) is not None

    def _gather(self) -> list[_Person]:
        rows: defaultdict[int, list[int]] = defaultdict(list)
        for row, tracklet in enumerate(self.tracklets):
            rows[tracklet.person_id].append(row)
        return [
            _Person(
                person_id,
                np.array(mine),
                np.asarray(self._shares_N[mine] @ self._feats_ND[mine]),
                float(self._shares_N[mine].sum()),
            )
            for person_id, mine in sorted(rows.items())
        ]

    def _units(self, person: _Person) -> IntArray:
        """Which tracklets of a person an operator joined: a number from 0 on for each, as many as rows."""
        place = {self.tracklets[row].tracklet_key: index for index, row in enumerate(person.rows.tolist())}
        said = [
            (True, (place[word.one], place[word.other]))
            for word in self._words.get((person.person_id, person.person_id), ())
            if word.is_together
        ]
        parts = constrained_parts(len(place), (), said)
        return np.asarray(np.unique(parts.part_N, return_inverse=True)[1])

    def _halves(self, person: _Person, units_U: IntArray) -> AnyArray:
        """True for the rows of a person that go to the other half: bool, as many as rows."""
        feats, shares = self._feats_ND[person.rows], self._shares_N[person.rows]
        sums_UD = np.zeros((int(units_U.max()) + 1, feats.shape[1]), dtype=np.float32)
        np.add.at(sums_UD, units_U, shares[:, None] * feats)
        units_UD = np.stack([unit(vector) for vector in sums_UD])
        far = int(np.argmin(units_UD @ person.vector_sum))
        near = int(np.argmin(np.where(np.arange(len(units_UD)) == far, np.inf, units_UD @ units_UD[far])))
        is_other_U = units_UD @ units_UD[far] > units_UD @ units_UD[near]
        for _ in range(_ROUNDS):
            is_other_U[[far, near]] = True, False
            centre_one, centre_other = unit(sums_UD[~is_other_U].sum(axis=0)), unit(sums_UD[is_other_U].sum(axis=0))
            moved_U = units_UD @ centre_other > units_UD @ centre_one
            moved_U[[far, near]] = True, False
            if np.array_equal(moved_U, is_other_U):
                break
            is_other_U = moved_U
        return np.asarray(is_other_U[units_U])

    def _pair_of_halves(self, person: _Person, is_other: AnyArray) -> DoubtfulPair:
        shares, feats = self._shares_N[person.rows], self._feats_ND[person.rows]
        weights = float(shares[~is_other].sum()), float(shares[is_other].sum())
        if weights[1] > weights[0]:
            is_other, weights = ~is_other, weights[::-1]  # most of the person keeps its number
        sums = shares[~is_other] @ feats[~is_other], shares[is_other] @ feats[is_other]
        similarity = float(sums[0] @ sums[1]) / (weights[0] * weights[1])
        return DoubtfulPair(
            one=self._side(person.person_id, person.rows[~is_other]),
            other=self._side(person.person_id, person.rows[is_other]),
            similarity=similarity,
            probability=float(self._probability(similarity, self._part_bound)),
            stake=float(self._doubt(similarity, self._part_bound)) * float(np.sqrt(weights[0] * weights[1])),
        )

    def _pair_of_persons(self, stake: float, a: int, b: int, similarity: float) -> DoubtfulPair:
        one, other = self.persons[a], self.persons[b]
        return DoubtfulPair(
            one=self._side(one.person_id, one.rows),
            other=self._side(other.person_id, other.rows),
            similarity=similarity,
            probability=float(self._probability(similarity, self._join_bound)),
            stake=stake,
        )

    def _side(self, person_id: int, rows: IntArray) -> Side:
        mine = [self.tracklets[row] for row in rows.tolist()]
        face = max(mine, key=lambda each: (each.tracklet_key in self._pictured, each.weight, -each.tracklet_key))
        return Side(
            person_id=person_id,
            tracklet_keys=tuple(tracklet.tracklet_key for tracklet in mine),
            face=face.tracklet_key,
        )

    def _probability(self, similarities: AnyArray | float, bound: float) -> AnyArray:
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(self._slope * (bound - similarities), -50.0, 50.0))))

    def _doubt(self, similarities: AnyArray | float, bound: float) -> AnyArray:
        """Probability of the less likely answer, in [0, 1/2]."""
        probabilities = self._probability(similarities, bound)
        return np.asarray(np.minimum(probabilities, 1.0 - probabilities))


def doubtful_pairs(
    tracklets: Sequence[Tracklet],
    words: Sequence[Word],
    *,
    settings: ConsolidationSettings,
    maturity: MaturitySettings,
    threshold: float,
    log_odds_per_cosine: float,
    most: int,
    pictured: Container[int] = frozenset(),
) -> list[DoubtfulPair]:
    """Find what to ask.

    Args:
        tracklets: All tracklets of some persons, each once, in any order, in one space.
        words: What operators said, oldest first; words about other tracklets are passed over.
        settings: Where consolidation joins and parts.
        maturity: How much young tracklets count.
        threshold: The release's least cosine of one person's tracklets.
        log_odds_per_cosine: How fast the odds of one person rise with similarity.
        most: Pairs wanted.
        pictured: Keys of tracklets of which there are pictures; an operator is shown these rather than others.

    Returns:
        The one to ask first at the front; nobody is in two of them.
    """
    if len(tracklets) < 2:
        return []
    questions = _Questions(
        sorted(tracklets, key=lambda tracklet: tracklet.tracklet_key),
        words,
        pictured,
        settings=settings,
        maturity=maturity,
        threshold=threshold,
        log_odds_per_cosine=log_odds_per_cosine,
    )
    found = [*questions.between_persons(most * _CANDIDATES_PER_PAIR), *questions.within_persons()]
    found.sort(key=lambda pair: (-pair.stake, pair.one.face, pair.other.face))
    chosen: list[DoubtfulPair] = []
    taken: set[int] = set()
    for pair in found:
        persons = {pair.one.person_id, pair.other.person_id}
        if len(chosen) < most and taken.isdisjoint(persons) and not questions.is_known(pair):
            chosen.append(pair)
            taken |= persons
    return chosen


def _ordered(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)

"""Online matching: each tracklet gets a person as soon as it is seen. Data in, data and changes out.

1. Touched tracklets leave their persons and are pooled. Grown-up ones return at once. The others are *open*: new ones,
   young ones, and the weaker of two tracklets that turn out to show one person twice in one camera at one moment.
2. Open tracklets join persons of others: pairs at or above the release's threshold, within the time window, never two
   people of one camera at one moment; the most similar pair first.
3. Who is left joins somebody who was left in the same step, or returns to the person that only it makes up, or becomes
   a new person.
4. Persons left without tracklets are folded into the one their last tracklet went to.

The result depends on the order and content of the steps alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from reid.settings import Settings
from reid.types import FloatArray, Observation
from server.matching.persons import PersonBook
from server.matching.tracklets import MaturitySettings, is_young, mean_embedding, pool
from server.types import NO_PERSON, PrototypeRef, Tracklet


class MatchingSettings(Settings):
    """How identities are decided while observations arrive."""

    window_s: float = Field(default=12 * 3600, gt=0)
    """A person not seen for longer is not met again online."""
    memory_s: float = Field(default=1800, gt=0)
    """A tracklet without news for longer leaves memory; the records bring it back when it matters."""
    num_candidates: int = Field(default=32, ge=1)
    """Prototypes looked at for each tracklet."""
    stay_margin: float = Field(default=0.02, ge=0)
    """A young tracklet leaves its person only for one this much more similar."""
    maturity: MaturitySettings = MaturitySettings()
    """When a tracklet's identity is kept."""


@dataclass(frozen=True, slots=True)
class OpenTracklet:
    """A tracklet to be decided.

    Attributes:
        tracklet: It belongs to nobody now.
        home: The person it belonged to, or `NO_PERSON`.
        embedding: (D,) float32, unit norm.
    """

    tracklet: Tracklet
    home: int
    embedding: FloatArray


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person near an open tracklet."""

    person_id: int
    similarity: float


@dataclass(kw_only=True)
class MatchChanges:
    """What a step changed.

    Attributes:
        tracklets: By key; touched, or given to another person.
        new_persons: person_ids made.
        folded_persons: person_id -> the one that goes on in its place.
        prototypes: Changed ones, (D,) float32 of unit norm.
        gone_prototypes: Those that are no more.
    """

    tracklets: dict[int, Tracklet] = field(default_factory=dict)
    new_persons: list[int] = field(default_factory=list)
    folded_persons: dict[int, int] = field(default_factory=dict)
    prototypes: dict[PrototypeRef, FloatArray] = field(default_factory=dict)
    gone_prototypes: list[PrototypeRef] = field(default_factory=list)


class OnlineMatcher:
    """Decides who is who. Call `touch`, look up candidates, then call `decide`: one step.

    Args:
        settings: How identities are decided.
        threshold: Least cosine of one person's tracklets, calibrated for the release.
        next_person_id: Larger than every person_id used before.
    """

    def __init__(self, settings: MatchingSettings, *, threshold: float, next_person_id: int) -> None:
        self.persons = PersonBook(settings.maturity)
        self._settings = settings
        self._threshold = threshold
        self._next_person_id = next_person_id
        self._touched: dict[int, Tracklet] = {}

    def touch(self, arrivals: Sequence[tuple[Tracklet, Sequence[Observation]]]) -> list[OpenTracklet]:
        """Pool observations, and find the tracklets whose person must be decided.

        Args:
            arrivals: Each tracklet once, with its new observations.

        Returns:
            Open tracklets; their persons in memory no longer contain them.
        """
        homes: dict[int, int] = {}
        grown: list[Tracklet] = []
        opened: list[Tracklet] = []
        for tracklet, observations in arrivals:
            was_open = tracklet.person_id == NO_PERSON or is_young(tracklet, self._settings.maturity)
            homes[tracklet.tracklet_key] = (
                NO_PERSON if tracklet.person_id == NO_PERSON else self.persons.detach(tracklet)
            )
            pool(tracklet, observations)
            self._touched[tracklet.tracklet_key] = tracklet
            (opened if was_open else grown).append(tracklet)
        for tracklet in grown:
            opened += self._return_home(tracklet, homes)
        return [OpenTracklet(t, homes.get(t.tracklet_key, NO_PERSON), mean_embedding(t)) for t in opened]

    def decide(self, opened: Sequence[OpenTracklet], candidates: Sequence[Sequence[Candidate]]) -> MatchChanges:
        """Give every open tracklet a person.

        Args:
            opened: What `touch` returned.
            candidates: For each, persons near it as they were before this step, by any number of prototypes.

        Returns:
            Everything that changed since the last call.
        """
        changes = MatchChanges(tracklets=self._touched)
        self._touched = {}
        waiting = self._join_others(opened, candidates)
        self._settle(waiting, changes)
        for item in opened:
            if item.home != NO_PERSON and item.home not in self.persons:
                changes.folded_persons[item.home] = item.tracklet.person_id
        changes.prototypes, changes.gone_prototypes = self.persons.take_changed()
        return changes

    def _return_home(self, tracklet: Tracklet, homes: Mapping[int, int]) -> list[Tracklet]:
        """Put a grown-up tracklet back, unless somebody stronger is there at the same moment.

        Returns:
            Those that lost their place.
        """
        home = homes[tracklet.tracklet_key]
        losers: list[Tracklet] = []
        while home in self.persons and (rival := self.persons.rival(tracklet, home)) is not None:
            if _strength(rival) > _strength(tracklet):
                return [*losers, tracklet]
            self.persons.detach(rival)
            self._touched[rival.tracklet_key] = rival
            losers.append(rival)
        self.persons.attach(tracklet, home)
        return losers

    def _join_others(
        self, opened: Sequence[OpenTracklet], candidates: Sequence[Sequence[Candidate]]
    ) -> list[OpenTracklet]:
        """Rule 2. Returns who is left."""
        pairs: list[tuple[float, int, int]] = []
        for index, (item, near) in enumerate(zip(opened, candidates, strict=True)):
            pairs += [(-score, person_id, index) for person_id, score in self._scores(item, near).items()]
        waiting = dict(enumerate(opened))
        for _, person_id, index in sorted(pairs):
            if index in waiting and self._may_join(waiting[index].tracklet, person_id):
                self.persons.attach(waiting.pop(index).tracklet, person_id)
        return list(waiting.values())

    def _scores(self, item: OpenTracklet, near: Sequence[Candidate]) -> dict[int, float]:
        """Similarity to each person it may belong to. Home is compared without the tracklet's own part in it."""
        scores: dict[int, float] = {}
        for candidate in near:
            if candidate.person_id != item.home and candidate.similarity >= self._threshold:
                scores[candidate.person_id] = max(candidate.similarity, scores.get(candidate.person_id, -1.0))
        if item.home in self.persons:
            similarity = self.persons.similarity(item.embedding, item.home)
            if similarity >= self._threshold:
                scores[item.home] = similarity + self._settings.stay_margin
        return scores

    def _may_join(self, tracklet: Tracklet, person_id: int) -> bool:
        return (
            person_id in self.persons
            and self.persons.gap_us(tracklet, person_id) <= self._settings.window_s * 1e6
            and self.persons.rival(tracklet, person_id) is None
        )

    def _settle(self, waiting: Sequence[OpenTracklet], changes: MatchChanges) -> None:
        """Rule 3. Those with a home of their own go first, so that persons keep their ids."""
        order = sorted(
            waiting, key=lambda item: (item.home == NO_PERSON, item.tracklet.start_us, item.tracklet.tracklet_key)
        )
        settled_SD = np.empty((len(order), len(order[0].embedding) if order else 0), dtype=np.float32)
        person_ids: list[int] = []
        for row, item in enumerate(order):
            similarities = settled_SD[:row] @ item.embedding
            person_id = self._met(item, similarities, person_ids) or self._own_home(item)
            if person_id == NO_PERSON:
                person_id = self._next_person_id
                self._next_person_id += 1
                changes.new_persons.append(person_id)
            self.persons.attach(item.tracklet, person_id)
            settled_SD[row] = item.embedding
            person_ids.append(person_id)

    def _met(self, item: OpenTracklet, similarities: FloatArray, person_ids: Sequence[int]) -> int:
        """The nearest person settled in this step that the tracklet may join, or `NO_PERSON`."""
        near = np.flatnonzero(similarities >= self._threshold)
        nearest_first = near[np.argsort(-similarities[near], kind="stable")]
        people = (person_ids[int(row)] for row in nearest_first)
        return next((person_id for person_id in people if self._may_join(item.tracklet, person_id)), NO_PERSON)

    def _own_home(self, item: OpenTracklet) -> int:
        """The home that is empty without this tracklet, or `NO_PERSON`."""
        return item.home if item.home not in self.persons else NO_PERSON


def _strength(tracklet: Tracklet) -> tuple[float, int]:
    """Order of two tracklets that claim one place: the better seen one, then the earlier one, is stronger."""
    return tracklet.weight, -tracklet.tracklet_key

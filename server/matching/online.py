"""Online matching: each tracklet gets a person as soon as it is seen. Data in, data and changes out.

1. Touched tracklets leave their persons and are pooled. Grown-up ones return at once. The others are *open*: new ones,
   young ones, and the weaker of two tracklets that turn out to show one person twice in one camera at one moment.
2. Open tracklets join persons of others: where looks, less what is common to a camera, and the time since the person
   was seen (`transitions`) speak for it, within the time window, never two people of one camera at one moment, nor
   two poor ones (`persons`). Those that exclude one another are assigned jointly (`assignment`), the group with the
   clearest case first.
3. Who is left joins somebody who was left in the same step, or returns to the person that only it makes up, or becomes
   a new person.
4. Persons left without tracklets are folded into the one their last tracklet went to.

The result depends on the order and content of the steps alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from reid.settings import Settings
from reid.types import FloatArray, Observation
from server.matching.assignment import best_assignment, exclusive_groups
from server.matching.persons import PersonBook
from server.matching.tracklets import MaturitySettings, is_young, mean_embedding, pool
from server.matching.transitions import NOTHING_LEARNED, TransitionSettings, learn_transitions
from server.types import NO_PERSON, PrototypeRef, Tracklet

_LEAST_GAIN = 1e-6
"""Of a match that is just at the threshold."""


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
    camera_prior: float = Field(default=5.0, gt=0)
    """A camera that saw this many persons has half of its own mean taken away before looks are compared."""
    slack: float = Field(default=0.4, ge=0, le=1)
    """How far below the release's threshold a match may lie once a camera's mean is all taken away, as a share of
    1 - threshold: strangers are less alike then."""
    log_odds_per_cosine: float = Field(default=35.0, gt=0)
    """How fast the odds of one person rise with similarity near the threshold; what a transition time weighs."""
    maturity: MaturitySettings = MaturitySettings()
    """When a tracklet's identity is kept."""
    transitions: TransitionSettings = TransitionSettings()
    """Learning of the times between cameras."""


@dataclass(frozen=True, slots=True)
class OpenTracklet:
    """A tracklet to be decided.

    Attributes:
        tracklet: It belongs to nobody now.
        home: The person it belonged to, or `NO_PERSON`.
        embedding: (D,) float32, unit norm: what a gallery is asked for.
        comparable: (D,) float32, unit norm: what is compared with persons.
        threshold: Least similarity to its person.
    """

    tracklet: Tracklet
    home: int
    embedding: FloatArray
    comparable: FloatArray
    threshold: float


@dataclass(kw_only=True)
class MatchChanges:
    """What a step changed.

    Attributes:
        tracklets: By key; touched, or given to another person.
        new_persons: person_ids made; provisional, unless they are among the next.
        confirmed_persons: Those that are no longer provisional.
        folded_persons: person_id -> the one that goes on in its place.
        prototypes: Changed ones, (D,) float32 of unit norm.
        gone_prototypes: Those that are no more.
        num_matches: Tracklets that belonged to nobody and joined a person known before.
    """

    tracklets: dict[int, Tracklet] = field(default_factory=dict)
    new_persons: list[int] = field(default_factory=list)
    confirmed_persons: list[int] = field(default_factory=list)
    folded_persons: dict[int, int] = field(default_factory=dict)
    prototypes: dict[PrototypeRef, FloatArray] = field(default_factory=dict)
    gone_prototypes: list[PrototypeRef] = field(default_factory=list)
    num_matches: int = 0


class OnlineMatcher:
    """Decides who is who. Call `touch`, look up candidates, then call `decide`: one step.

    Args:
        settings: How identities are decided.
        threshold: Least cosine of one person's tracklets, calibrated for the release.
        next_person_id: Larger than every person_id used before.

    Attributes:
        persons: All of them.
        threshold: As given; set it when the persons are moved to the space of another release.
        next_person_id: Larger than every person_id used so far.
    """

    def __init__(self, settings: MatchingSettings, *, threshold: float, next_person_id: int) -> None:
        self.persons = PersonBook(settings.maturity, camera_prior=settings.camera_prior)
        self.threshold = threshold
        self._settings = settings
        self.next_person_id = next_person_id
        self._touched: dict[int, Tracklet] = {}
        self._transitions = NOTHING_LEARNED
        self._learn_at_us = 0

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
            was_open = tracklet.person_id == NO_PERSON or self._is_undecided(tracklet)
            self._touched[tracklet.tracklet_key] = tracklet
            if not was_open and self.persons.grow(tracklet, observations):
                continue
            homes[tracklet.tracklet_key] = (
                NO_PERSON if tracklet.person_id == NO_PERSON else self.persons.detach(tracklet)
            )
            pool(tracklet, observations)
            (opened if was_open else grown).append(tracklet)
        for tracklet in grown:
            opened += self._return_home(tracklet, homes)
        self._learn()
        return [self._open(tracklet, homes.get(tracklet.tracklet_key, NO_PERSON)) for tracklet in opened]

    def decide(self, opened: Sequence[OpenTracklet], candidates: Sequence[Collection[int]]) -> MatchChanges:
        """Give every open tracklet a person.

        Args:
            opened: What `touch` returned.
            candidates: For each, person_ids near it as they were before this step.

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
        changes.num_matches = _num_matches(opened, changes)
        changes.confirmed_persons = self.persons.take_confirmed()
        changes.prototypes, changes.gone_prototypes = self.persons.take_changed()
        return changes

    def _open(self, tracklet: Tracklet, home: int) -> OpenTracklet:
        slack = self._settings.slack * self.persons.camera_means.trust(tracklet.camera_key)
        threshold = self.threshold - slack * (1.0 - self.threshold)
        return OpenTracklet(tracklet, home, mean_embedding(tracklet), self.persons.comparable(tracklet), threshold)

    def _learn(self) -> None:
        """Take camera means and transition times again, when there is enough that is new."""
        self.persons.camera_means.refresh()
        now_us = max((tracklet.updated_us for tracklet in self._touched.values()), default=0)
        settings = self._settings.transitions
        if now_us < self._learn_at_us or settings.most_tracklets == 0:
            return
        self._learn_at_us = now_us + int(settings.interval_s * 1e6)
        recent = list(self.persons.recent_tracklets())
        latest = sorted(recent, key=lambda tracklet: tracklet.tracklet_key)[-settings.most_tracklets :]
        self._transitions = learn_transitions(
            latest,
            [self.persons.comparable(tracklet) for tracklet in latest],
            settings=settings,
            maturity=self._settings.maturity,
            threshold=self.threshold,
        )

    def _is_undecided(self, tracklet: Tracklet) -> bool:
        """True for a young tracklet, unless an operator said who it is."""
        is_said = self.persons.links.is_pinned(tracklet.tracklet_key)
        return is_young(tracklet, self._settings.maturity) and not is_said

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

    def _join_others(self, opened: Sequence[OpenTracklet], candidates: Sequence[Collection[int]]) -> list[OpenTracklet]:
        """Rule 2. Returns who is left."""
        gains = [self._gains(item, near) for item, near in zip(opened, candidates, strict=True)]
        groups = exclusive_groups([item.tracklet.span for item in opened])
        groups.sort(key=lambda group: -max(max(gains[index].values(), default=0.0) for index in group))
        waiting = dict(enumerate(opened))
        for group in groups:
            self._join_group({index: gains[index] for index in group}, waiting)
        return list(waiting.values())

    def _join_group(self, gains: Mapping[int, Mapping[int, float]], waiting: dict[int, OpenTracklet]) -> None:
        """Let tracklets linked by overlap join persons, until none of them can."""
        while gains:
            allowed = {
                index: {p: gain for p, gain in row.items() if self._may_join(waiting[index].tracklet, p)}
                for index, row in gains.items()
            }
            gains = {index: row for index, row in allowed.items() if row}
            indices = list(gains)
            joining = best_assignment(list(gains.values())) if gains else {}
            for place, person_id in joining.items():
                self.persons.attach(waiting.pop(indices[place]).tracklet, person_id)
            gains = {index: row for index, row in gains.items() if index in waiting}

    def _gains(self, item: OpenTracklet, near: Collection[int]) -> dict[int, float]:
        """How much speaks for each person it may belong to, in cosine above what is needed.

        Home is compared without the tracklet's own part in it.
        """
        gains: dict[int, float] = {}
        others = [person_id for person_id in near if person_id != item.home and person_id in self.persons]
        if others:
            excesses = self.persons.similarities(item.comparable, others) - item.threshold
            for index in np.flatnonzero(excesses >= -self._most_time_gain).tolist():
                person_id = others[index]
                gain = float(excesses[index]) + self._time_gain(item.tracklet, person_id)
                if gain >= 0:
                    gains[person_id] = gain + _LEAST_GAIN
        if item.home in self.persons:
            gain = self.persons.similarity(item.comparable, item.home) - item.threshold
            if gain >= 0:
                gains[item.home] = gain + _LEAST_GAIN + self._settings.stay_margin
        return gains

    @property
    def _most_time_gain(self) -> float:
        """`_time_gain` gives no more."""
        return self._settings.transitions.most_log_odds / self._settings.log_odds_per_cosine

    def _time_gain(self, tracklet: Tracklet, person_id: int) -> float:
        """What the time since the person was seen last is worth, as cosine; 0 for late data."""
        camera_key, last_us = self.persons.last_seen(person_id)
        if last_us > tracklet.start_us:
            return 0.0
        log_odds = self._transitions.of(camera_key, tracklet.camera_key, tracklet.start_us - last_us)
        return log_odds / self._settings.log_odds_per_cosine

    def _may_join(self, tracklet: Tracklet, person_id: int) -> bool:
        return (
            person_id in self.persons
            and self.persons.gap_us(tracklet, person_id) <= self._settings.window_s * 1e6
            and self.persons.links.may_join(tracklet.tracklet_key, person_id)
            and self.persons.rival(tracklet, person_id) is None
            and self.persons.may_gather(tracklet, person_id)
        )

    def _settle(self, waiting: Sequence[OpenTracklet], changes: MatchChanges) -> None:
        """Rule 3. Those with a home of their own go first, so that persons keep their ids."""
        order = sorted(
            waiting, key=lambda item: (item.home == NO_PERSON, item.tracklet.start_us, item.tracklet.tracklet_key)
        )
        settled_SD = np.empty((len(order), len(order[0].comparable) if order else 0), dtype=np.float32)
        person_ids: list[int] = []
        for row, item in enumerate(order):
            similarities = settled_SD[:row] @ item.comparable
            person_id = self._met(item, similarities, person_ids) or self._own_home(item)
            if person_id == NO_PERSON:
                person_id = self.next_person_id
                self.next_person_id += 1
                changes.new_persons.append(person_id)
            self.persons.attach(item.tracklet, person_id)
            settled_SD[row] = item.comparable
            person_ids.append(person_id)

    def _met(self, item: OpenTracklet, similarities: FloatArray, person_ids: Sequence[int]) -> int:
        """The nearest person settled in this step that the tracklet may join, or `NO_PERSON`."""
        near = np.flatnonzero(similarities >= item.threshold)
        nearest_first = near[np.argsort(-similarities[near], kind="stable")]
        people = (person_ids[int(row)] for row in nearest_first)
        return next((person_id for person_id in people if self._may_join(item.tracklet, person_id)), NO_PERSON)

    def _own_home(self, item: OpenTracklet) -> int:
        """The home that is empty without this tracklet, or `NO_PERSON`."""
        return item.home if item.home not in self.persons else NO_PERSON


def _num_matches(opened: Sequence[OpenTracklet], changes: MatchChanges) -> int:
    unmatched = {NO_PERSON, *changes.new_persons}
    return sum(item.home == NO_PERSON and item.tracklet.person_id not in unmatched for item in opened)


def _strength(tracklet: Tracklet) -> tuple[float, int]:
    """Order of two tracklets that claim one place: the better seen one, then the earlier one, is stronger."""
    return tracklet.weight, -tracklet.tracklet_key

"""Persons as the matcher holds them: members in time, one prototype per camera to search, and one mean to compare.

A prototype is the unit mean of a person's tracklets in one camera, young ones counting less. Its sum is kept, and
changed by adding and taking away tracklets: a tracklet must be taken away with the very values it was added with, so
detach it, pool, attach it again. The mean is over all cameras, without what is common to each camera (`camera_means`):
one mean attracts fewer strangers than the nearest of several prototypes.

A person is *provisional* until their tracklets together hold enough to rest an identity on (`MaturitySettings`), or an
operator speaks of them; from then on they are confirmed, whatever becomes of the tracklets. A tracklet may join a
provisional person only if both together show somebody clearly: poor crops do not gather others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reid.types import FloatArray, Observation
from server.matching.camera_means import CameraMeans
from server.matching.links import LinkBook
from server.matching.tracklets import MaturitySettings, mean_embedding, overlap, pool, share, unit
from server.types import NO_PERSON, CameraSpan, PrototypeRef, Tracklet


@dataclass(slots=True)
class _Presence:
    """One person in one camera.

    Attributes:
        vector_sum: (D,) float32, behind the prototype.
        weight: Sum of the shares in it.
        num_tracklets: How many are in the sum.
        start_us: Start of its earliest tracklet.
        end_us: End of its latest tracklet; like a person's, the span only grows.
        recent: Those still in memory, by key.
    """

    vector_sum: FloatArray
    start_us: int
    end_us: int
    weight: float = 0.0
    num_tracklets: int = 0
    recent: dict[int, Tracklet] = field(default_factory=dict)


@dataclass(slots=True)
class _Person:
    """One identity.

    Attributes:
        first_us: Start of its earliest tracklet.
        last_us: End of its latest tracklet; the span only grows while the process lives.
        last_camera_key: Where that was.
        num_observations: Of all tracklets.
        weight: Sum of their weights.
        cameras: By camera_key.
        mean: (D,) float32 of unit norm, or None when it must be computed anew.
        mean_version: Of the camera means that went into it.
    """

    first_us: int
    last_us: int
    last_camera_key: int
    num_observations: int = 0
    weight: float = 0.0
    cameras: dict[int, _Presence] = field(default_factory=dict)
    mean: FloatArray | None = None
    mean_version: int = 0


class PersonBook:
    """All persons of one space.

    Args:
        maturity: How much young tracklets count, and who is provisional.
        camera_prior: See `CameraMeans`.

    Attributes:
        links: What operators said of tracklets.
        camera_means: Of all tracklets that have persons.
    """

    def __init__(self, maturity: MaturitySettings, *, camera_prior: float) -> None:
        self.links = LinkBook()
        self.camera_means = CameraMeans(prior=camera_prior)
        self._maturity = maturity
        self._persons: dict[int, _Person] = {}
        self._confirmed: set[int] = set()
        self._seen: set[int] = set()  # provisional when their tracklets changed; `take_confirmed` judges them
        self._changed: set[PrototypeRef] = set()
        self._watched: set[PrototypeRef] | None = None

    def __contains__(self, person_id: int) -> bool:
        """True for a person with at least one tracklet."""
        return person_id in self._persons

    @property
    def num_persons(self) -> int:
        """How many there are."""
        return len(self._persons)

    @property
    def num_confirmed(self) -> int:
        """How many of them are confirmed."""
        return len(self._confirmed)

    def is_confirmed(self, person_id: int) -> bool:
        """True for a person who is not provisional. Any thread may ask."""
        return person_id in self._confirmed

    def confirm(self, person_ids: Iterable[int]) -> None:
        """Take note that persons are confirmed, as the records say; those who are not here are passed over."""
        self._confirmed.update(person_id for person_id in person_ids if person_id in self._persons)

    def attach(self, tracklet: Tracklet, person_id: int) -> None:
        """Make a tracklet that belongs to nobody a member of a person, who is new or not."""
        assert tracklet.person_id == NO_PERSON, f"tracklet {tracklet.tracklet_key} belongs to {tracklet.person_id}"
        tracklet.person_id = person_id
        self.load(tracklet, is_recent=True)

    def load(self, tracklet: Tracklet, *, is_recent: bool) -> None:
        """Count a tracklet for the person it names; a recent one is also compared in time from now on."""
        person = self._persons.get(tracklet.person_id)
        if person is None:
            person = self._persons[tracklet.person_id] = _Person(
                tracklet.start_us, tracklet.end_us, tracklet.camera_key
            )
        self._weigh(person, tracklet, 1)
        presence = person.cameras.get(tracklet.camera_key)
        if presence is None:
            presence = person.cameras[tracklet.camera_key] = _Presence(
                np.zeros_like(tracklet.embedding_sum), tracklet.start_us, tracklet.end_us
            )
        self._count(presence, tracklet, 1)
        if is_recent:
            presence.recent[tracklet.tracklet_key] = tracklet
        self._see(person, presence, tracklet)
        self.links.follow(tracklet)

    def detach(self, tracklet: Tracklet) -> int:
        """Take a tracklet out of its person, who is gone when it was the last.

        Returns:
            The person it belonged to.
        """
        person_id, tracklet.person_id = tracklet.person_id, NO_PERSON
        person = self._persons[person_id]
        presence = person.cameras[tracklet.camera_key]
        presence.recent.pop(tracklet.tracklet_key, None)
        self._count(presence, tracklet, -1)
        self._weigh(person, tracklet, -1)
        person.mean = None
        if presence.num_tracklets == 0:
            del person.cameras[tracklet.camera_key]
        if not person.cameras:
            del self._persons[person_id]
        self._changed.add(PrototypeRef(person_id, tracklet.camera_key))
        self.links.follow(tracklet)
        return person_id

    def grow(self, tracklet: Tracklet, observations: Sequence[Observation]) -> bool:
        """Pool observations into a tracklet that stays with its person: like `detach`, `pool` and `attach`, but faster.

        Returns:
            False, and nothing is done, if other recent tracklets of the person are in its camera: rivals, maybe.
        """
        person = self._persons[tracklet.person_id]
        presence = person.cameras[tracklet.camera_key]
        if list(presence.recent) != [tracklet.tracklet_key]:
            return False
        weight_before, vector_before = self.part(tracklet)
        self._weigh(person, tracklet, -1)
        pool(tracklet, observations)
        self._weigh(person, tracklet, 1)
        weight, vector = self.part(tracklet)
        vector -= vector_before
        presence.vector_sum += vector
        presence.weight += weight - weight_before
        self.camera_means.add(tracklet.camera_key, vector, weight - weight_before, new_persons=0)
        self._see(person, presence, tracklet)
        return True

    def move(self, tracklet: Tracklet, person_id: int, *, is_recent: bool) -> None:
        """Give a tracklet of one person to another, or note anew where it is."""
        if tracklet.person_id == person_id:
            self.links.follow(tracklet)
            return
        self.detach(tracklet)
        tracklet.person_id = person_id
        self.load(tracklet, is_recent=is_recent)

    def forget(self, tracklet: Tracklet) -> None:
        """Take a tracklet out of memory, so that it is no `rival`; it still counts for its person."""
        self._presence(tracklet).recent.pop(tracklet.tracklet_key, None)

    def recall(self, tracklet: Tracklet) -> None:
        """Undo `forget`, for a tracklet that was read again from the records."""
        self._presence(tracklet).recent[tracklet.tracklet_key] = tracklet

    def rival(self, tracklet: Tracklet, person_id: int) -> Tracklet | None:
        """The person's tracklet in the same camera at the same moment as `tracklet`, if there is one."""
        presence = self._persons[person_id].cameras.get(tracklet.camera_key)
        if presence is None:
            return None
        return next((other for other in presence.recent.values() if overlap(tracklet, other)), None)

    def may_gather(self, tracklet: Tracklet, person_id: int) -> bool:
        """True if the person is confirmed, or is clear together with this tracklet, which is not theirs."""
        person = self._persons[person_id]
        num_observations = person.num_observations + tracklet.num_observations
        is_clear = self._maturity.is_clear(num_observations, person.weight + tracklet.weight)
        return is_clear or person_id in self._confirmed

    def gap_us(self, tracklet: Tracklet, person_id: int) -> int:
        """Time between a tracklet and the span in which the person was seen; 0 if they touch."""
        person = self._persons[person_id]
        return max(0, tracklet.start_us - person.last_us, person.first_us - tracklet.end_us)

    def last_seen(self, person_id: int) -> tuple[int, int]:
        """Where and when a person was seen last: camera_key, and microseconds since the Unix epoch."""
        person = self._persons[person_id]
        return person.last_camera_key, person.last_us

    def comparable(self, tracklet: Tracklet) -> FloatArray:
        """A tracklet's embedding without what is common to its camera, (D,) float32, unit norm."""
        return unit(mean_embedding(tracklet) - self.camera_means.offset(tracklet.camera_key))

    def similarity(self, comparable: FloatArray, person_id: int) -> float:
        """Cosine of what `comparable` gave and the person's mean."""
        return float(self._mean(self._persons[person_id]) @ comparable)

    def similarities(self, comparable: FloatArray, person_ids: Sequence[int]) -> FloatArray:
        """`similarity` to each of some persons, at least one; float32 (P,)."""
        means_PD = np.stack([self._mean(self._persons[person_id]) for person_id in person_ids])
        return np.asarray(means_PD @ comparable)

    def recent_tracklets(self) -> Iterator[Tracklet]:
        """Those that are compared in time, of all persons."""
        for person in self._persons.values():
            for presence in person.cameras.values():
                yield from presence.recent.values()

    def span(self, ref: PrototypeRef) -> CameraSpan:
        """In what span the camera saw the person; never too short."""
        presence = self._persons[ref.person_id].cameras[ref.camera_key]
        return CameraSpan(ref.camera_key, presence.start_us, presence.end_us)

    def take_changed(self) -> tuple[dict[PrototypeRef, FloatArray], list[PrototypeRef]]:
        """Prototypes that changed, and those that are gone, since the last call."""
        changed: dict[PrototypeRef, FloatArray] = {}
        gone: list[PrototypeRef] = []
        for ref in sorted(self._changed):
            person = self._persons.get(ref.person_id)
            presence = person.cameras.get(ref.camera_key) if person else None
            if presence is None:
                gone.append(ref)
            else:
                changed[ref] = unit(presence.vector_sum)
        self._confirmed.difference_update(ref.person_id for ref in gone if ref.person_id not in self._persons)
        if self._watched is not None:
            self._watched |= self._changed
        self._changed.clear()
        return changed, gone

    def watch(self) -> set[PrototypeRef]:
        """A set that gathers, from now on and until `unwatch`, whatever `take_changed` tells."""
        self._watched = set()
        return self._watched

    def unwatch(self) -> None:
        """Let the set of the last `watch` gather no more."""
        self._watched = None

    def refs(self) -> Iterator[PrototypeRef]:
        """All prototypes there are."""
        for person_id, person in self._persons.items():
            for camera_key in person.cameras:
                yield PrototypeRef(person_id, camera_key)

    def has(self, ref: PrototypeRef) -> bool:
        """True for a prototype that is there."""
        person = self._persons.get(ref.person_id)
        return person is not None and ref.camera_key in person.cameras

    def sum_of(self, ref: PrototypeRef) -> FloatArray:
        """What is behind a prototype, (D,) float32: not a copy."""
        return self._persons[ref.person_id].cameras[ref.camera_key].vector_sum

    def part(self, tracklet: Tracklet) -> tuple[float, FloatArray]:
        """What a tracklet adds to its person: weight and weighted vector."""
        weight = share(tracklet, self._maturity)
        return weight, np.float32(weight) * mean_embedding(tracklet)

    def turn(
        self,
        sums: Mapping[PrototypeRef, FloatArray],
        matrix: FloatArray,
        corrections: Mapping[PrototypeRef, FloatArray],
    ) -> None:
        """Be in another space.

        Args:
            sums: What is behind each prototype there; kept, and added to.
            matrix: (D, D); rows of the space that is left times it lie there.
            corrections: By what some of the sums differ from the mapped ones.
        """
        self.camera_means.turn(matrix)
        for ref, correction in corrections.items():
            self.camera_means.add(ref.camera_key, correction, 0.0, new_persons=0)
        for person_id, person in self._persons.items():
            person.mean = None
            for camera_key, presence in person.cameras.items():
                presence.vector_sum = sums[PrototypeRef(person_id, camera_key)]

    def take_confirmed(self) -> list[int]:
        """Persons that have become confirmed by their tracklets since the last call, in order."""
        confirmed = sorted(person_id for person_id in self._seen - self._confirmed if self._is_enough(person_id))
        self._seen.clear()
        self._confirmed.update(confirmed)
        return confirmed

    def _presence(self, tracklet: Tracklet) -> _Presence:
        return self._persons[tracklet.person_id].cameras[tracklet.camera_key]

    def _is_enough(self, person_id: int) -> bool:
        """True for a person who is there, and on whose tracklets an identity can rest."""
        person = self._persons.get(person_id)
        return person is not None and self._maturity.is_enough(person.num_observations, person.weight)

    def _weigh(self, person: _Person, tracklet: Tracklet, sign: int) -> None:
        person.num_observations += sign * tracklet.num_observations
        person.weight += sign * tracklet.weight

    def _see(self, person: _Person, presence: _Presence, tracklet: Tracklet) -> None:
        """Note where and when a tracklet showed its person, whose looks have changed with it."""
        person.first_us = min(person.first_us, tracklet.start_us)
        if tracklet.end_us >= person.last_us:
            person.last_us, person.last_camera_key = tracklet.end_us, tracklet.camera_key
        person.mean = None
        presence.start_us = min(presence.start_us, tracklet.start_us)
        presence.end_us = max(presence.end_us, tracklet.end_us)
        if tracklet.person_id not in self._confirmed:
            self._seen.add(tracklet.person_id)
        self._changed.add(PrototypeRef(tracklet.person_id, tracklet.camera_key))

    def _count(self, presence: _Presence, tracklet: Tracklet, sign: int) -> None:
        """Add a tracklet to the sums, or with sign -1 take it away."""
        share_of_it, part = self.part(tracklet)
        weight, vector = sign * share_of_it, np.float32(sign) * part
        was_there = presence.num_tracklets > 0
        presence.vector_sum += vector
        presence.weight += weight
        presence.num_tracklets += sign
        new_persons = int(presence.num_tracklets > 0) - int(was_there)
        self.camera_means.add(tracklet.camera_key, vector, weight, new_persons=new_persons)

    def _mean(self, person: _Person) -> FloatArray:
        if person.mean is None or person.mean_version != self.camera_means.version:
            offset = self.camera_means.offset
            total, *others = (p.vector_sum - np.float32(p.weight) * offset(key) for key, p in person.cameras.items())
            for vector in others:
                total += vector
            person.mean, person.mean_version = unit(total), self.camera_means.version
        return person.mean

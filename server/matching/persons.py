"""Persons as the matcher holds them: members in time, and one prototype per camera.

A prototype is the unit mean of a person's tracklets in one camera, young ones counting less. Its sum is kept, and
changed by adding and taking away tracklets: a tracklet must be taken away with the very values it was added with, so
detach it, pool, attach it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from reid.types import FloatArray
from server.matching.tracklets import MaturitySettings, mean_embedding, overlap, share, unit
from server.types import NO_PERSON, PrototypeRef, Tracklet


@dataclass(slots=True)
class _Presence:
    """One person in one camera.

    Attributes:
        vector_sum: (D,) float32, behind the prototype.
        num_tracklets: How many are in the sum.
        recent: Those still in memory, by key.
    """

    vector_sum: FloatArray
    num_tracklets: int = 0
    recent: dict[int, Tracklet] = field(default_factory=dict)


@dataclass(slots=True)
class _Person:
    """One identity.

    Attributes:
        first_us: Start of its earliest tracklet.
        last_us: End of its latest tracklet; the span only grows while the process lives.
        cameras: By camera_key.
    """

    first_us: int
    last_us: int
    cameras: dict[int, _Presence] = field(default_factory=dict)


class PersonBook:
    """All persons of one space.

    Args:
        maturity: How much young tracklets count.
    """

    def __init__(self, maturity: MaturitySettings) -> None:
        self._maturity = maturity
        self._persons: dict[int, _Person] = {}
        self._changed: set[PrototypeRef] = set()

    def __contains__(self, person_id: int) -> bool:
        """True for a person with at least one tracklet."""
        return person_id in self._persons

    @property
    def num_persons(self) -> int:
        """How many there are."""
        return len(self._persons)

    def attach(self, tracklet: Tracklet, person_id: int) -> None:
        """Make a tracklet that belongs to nobody a member of a person, who is new or not."""
        assert tracklet.person_id == NO_PERSON, f"tracklet {tracklet.tracklet_key} belongs to {tracklet.person_id}"
        tracklet.person_id = person_id
        self.load(tracklet, is_recent=True)

    def load(self, tracklet: Tracklet, *, is_recent: bool) -> None:
        """Count a tracklet for the person it names; a recent one is also compared in time from now on."""
        person = self._persons.get(tracklet.person_id)
        if person is None:
            person = self._persons[tracklet.person_id] = _Person(tracklet.start_us, tracklet.end_us)
        person.first_us = min(person.first_us, tracklet.start_us)
        person.last_us = max(person.last_us, tracklet.end_us)
        presence = person.cameras.get(tracklet.camera_key)
        if presence is None:
            presence = person.cameras[tracklet.camera_key] = _Presence(np.zeros_like(tracklet.embedding_sum))
        presence.vector_sum += self._contribution(tracklet)
        presence.num_tracklets += 1
        if is_recent:
            presence.recent[tracklet.tracklet_key] = tracklet
        self._changed.add(PrototypeRef(tracklet.person_id, tracklet.camera_key))

    def detach(self, tracklet: Tracklet) -> int:
        """Take a tracklet out of its person, who is gone when it was the last.

        Returns:
            The person it belonged to.
        """
        person_id, tracklet.person_id = tracklet.person_id, NO_PERSON
        person = self._persons[person_id]
        presence = person.cameras[tracklet.camera_key]
        presence.recent.pop(tracklet.tracklet_key, None)
        presence.vector_sum -= self._contribution(tracklet)
        presence.num_tracklets -= 1
        if presence.num_tracklets == 0:
            del person.cameras[tracklet.camera_key]
        if not person.cameras:
            del self._persons[person_id]
        self._changed.add(PrototypeRef(person_id, tracklet.camera_key))
        return person_id

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

    def gap_us(self, tracklet: Tracklet, person_id: int) -> int:
        """Time between a tracklet and the span in which the person was seen; 0 if they touch."""
        person = self._persons[person_id]
        return max(0, tracklet.start_us - person.last_us, person.first_us - tracklet.end_us)

    def similarity(self, embedding: FloatArray, person_id: int) -> float:
        """Cosine of an embedding (D,) and the person's nearest prototype."""
        cameras = self._persons[person_id].cameras.values()
        return max(float(unit(presence.vector_sum) @ embedding) for presence in cameras)

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
        self._changed.clear()
        return changed, gone

    def _presence(self, tracklet: Tracklet) -> _Presence:
        return self._persons[tracklet.person_id].cameras[tracklet.camera_key]

    def _contribution(self, tracklet: Tracklet) -> FloatArray:
        return np.float32(share(tracklet, self._maturity)) * mean_embedding(tracklet)

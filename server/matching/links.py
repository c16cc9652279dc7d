"""What operators said of tracklets, as online matching heeds it. Pure.

A tracklet that was said to be somebody stays, however young it is. One that was said not to be somebody never joins the
person of whom it was said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from server.types import NO_PERSON, Tracklet


class Word(NamedTuple):
    """What was said of two tracklets, by their keys: one person, or two."""

    one: int
    other: int
    is_together: bool


class LinkBook:
    """The words that hold, and where the tracklets are of which something was said."""

    def __init__(self) -> None:
        self._enemies: defaultdict[int, set[int]] = defaultdict(set)
        self._pinned: set[int] = set()
        self._persons: dict[int, int] = {}

    def replace(self, words: Iterable[Word]) -> None:
        """Heed these words and no others; `follow` every tracklet that they name for the first time."""
        self._enemies.clear()
        self._pinned.clear()
        for word in words:
            if word.is_together:
                self._pinned |= {word.one, word.other}
            else:
                self._enemies[word.one].add(word.other)
                self._enemies[word.other].add(word.one)
        self._persons = {key: person for key, person in self._persons.items() if key in self._enemies}

    def follow(self, tracklet: Tracklet) -> None:
        """Take note of whom a tracklet belongs to."""
        if tracklet.tracklet_key in self._enemies:
            self._persons[tracklet.tracklet_key] = tracklet.person_id

    def is_pinned(self, tracklet_key: int) -> bool:
        """True for a tracklet that was said to be somebody."""
        return tracklet_key in self._pinned

    def may_join(self, tracklet_key: int, person_id: int) -> bool:
        """True unless somebody of that person was said to be another."""
        enemies = self._enemies.get(tracklet_key, ())
        return all(self._persons.get(enemy, NO_PERSON) != person_id for enemy in enemies)

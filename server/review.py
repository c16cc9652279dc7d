"""Asks operators about doubtful pairs, the one that matters most first, and gives their answers to `Identities`.

Working the pairs out takes seconds at a large site. So there is a queue of them, made anew beside it when it is old,
and used meanwhile. Used by the event loop alone; what takes long runs in other threads.

"Not sure" is no word about anybody: such a pair is put aside while the server runs, or until somebody asks for it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import structlog

from reid.errors import OspreyError
from server.consolidator import Submit
from server.errors import NotFoundError
from server.identities import Identities, IdentityChange
from server.matching.consolidation import ConsolidationSettings
from server.matching.doubt import DoubtfulPair, doubtful_pairs
from server.matching.links import Word
from server.matching.online import MatchingSettings
from server.spaces import Spaces
from server.storage.members import SqlMembers
from server.storage.records import Records
from server.storage.sightings import SqlSightings
from server.types import Actor

logger = structlog.get_logger(__name__)

Answer = Literal["same", "different", "unsure"]

_MOST_TRACKLETS = 20_000
"""Latest ones, whose persons are compared."""
_MOST_PERSONS = 2_000
_MOST_PAIRS = 64
_MOST_SHOWN = 512
"""Pairs that an answer may still come to after they left the queue."""
_MOST_PUT_ASIDE = 10_000
_OLD_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A pair, and its name on pages: the same whenever it is worked out anew."""

    name: str
    pair: DoubtfulPair


class Review:
    """The queue of questions.

    Args:
        identities: Carries answers out.
        records: Links.
        members: Tracklets.
        sightings: Who was seen lately.
        submit: Runs something in the writer's thread.
        consolidation: Where persons are joined and parted.
        matching: How alike tracklets of one person are.
        spaces: Gives the space that is served now, with its threshold.
        clock_s: Monotonic.
    """

    def __init__(
        self,
        identities: Identities,
        records: Records,
        members: SqlMembers,
        sightings: SqlSightings,
        submit: Submit,
        *,
        consolidation: ConsolidationSettings,
        matching: MatchingSettings,
        spaces: Callable[[], Spaces],
        clock_s: Callable[[], float],
    ) -> None:
        self._identities = identities
        self._records = records
        self._members = members
        self._sightings = sightings
        self._submit = submit
        self._consolidation = consolidation
        self._matching = matching
        self._spaces = spaces
        self._clock_s = clock_s
        self._queue: OrderedDict[str, Question] = OrderedDict()
        self._shown: OrderedDict[str, Question] = OrderedDict()
        self._put_aside: OrderedDict[str, None] = OrderedDict()
        self._made_s = float("-inf")
        self._making: asyncio.Task[None] | None = None

    @property
    def num_put_aside(self) -> int:
        """Pairs that nobody was sure about."""
        return len(self._put_aside)

    async def questions(self) -> list[Question]:
        """All that wait, the one to ask first at the front; waits only when there are none and they may be old.

        Raises:
            StorageError: The records cannot be read.
        """
        if self._clock_s() - self._made_s > _OLD_S:
            making = self._make_anew()
            if not self._queue:
                await asyncio.shield(making)
        return list(self._queue.values())

    def find(self, name: str) -> Question:
        """A question that is waiting, or was shown lately.

        Raises:
            NotFoundError: It was answered, or what it is about has changed.
        """
        question = self._queue.get(name) or self._shown.get(name)
        if question is None:
            raise NotFoundError("this question is over: it was answered, or its persons changed meanwhile")
        return question

    def note_shown(self, question: Question) -> None:
        """Take an answer to it even if the queue is made anew before it comes."""
        self._shown[question.name] = question
        self._shown.move_to_end(question.name)
        while len(self._shown) > _MOST_SHOWN:
            self._shown.popitem(last=False)

    async def answer(self, name: str, answer: Answer, actor: Actor) -> IdentityChange | None:
        """Take an answer; None for "not sure", which changes nothing.

        Raises:
            NotFoundError: See `find`.
            ConflictError: What it is about has changed.
            StorageError: Nothing of it is stored.
        """
        question = self.find(name)
        if answer == "unsure":
            self._forget(name)
            self._put_aside[name] = None
            while len(self._put_aside) > _MOST_PUT_ASIDE:
                self._put_aside.popitem(last=False)
            return None
        judge = partial(self._identities.judge, question.pair, actor, is_same=answer == "same")
        try:
            return await self._submit(judge)
        finally:
            self._forget(name)  # whether it was taken or cannot be any more

    def ask_again(self) -> None:
        """Take up what nobody was sure about."""
        self._put_aside.clear()
        self._made_s = float("-inf")
        self._queue.clear()

    def note_change(self) -> None:
        """Persons were changed beside the queue: work it out anew."""
        self._made_s = float("-inf")

    def _forget(self, name: str) -> None:
        self._queue.pop(name, None)
        self._shown.pop(name, None)

    def _make_anew(self) -> asyncio.Task[None]:
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make())
            self._making.add_done_callback(_log_failure)
        return self._making

    async def _make(self) -> None:
        started_s = self._clock_s()
        pairs = await asyncio.to_thread(self._work_out)
        found = (Question(name=_name_of(pair), pair=pair) for pair in pairs)
        self._queue = OrderedDict((each.name, each) for each in found if each.name not in self._put_aside)
        self._made_s = started_s
        logger.debug("questions made", questions=len(self._queue), seconds=round(self._clock_s() - started_s, 3))

    def _work_out(self) -> Sequence[DoubtfulPair]:
        spaces = self._spaces()
        persons = self._sightings.latest_persons(most_tracklets=_MOST_TRACKLETS, most=_MOST_PERSONS)
        words = (
            Word(link.one_tracklet_key, link.other_tracklet_key, link.kind == "must")
            for link in self._records.read_links()
        )
        tracklets = self._members.read_members(persons, spaces)
        return doubtful_pairs(
            tracklets,
            list(words),
            settings=self._consolidation,
            maturity=self._matching.maturity,
            threshold=spaces.served.threshold,
            log_odds_per_cosine=self._matching.log_odds_per_cosine,
            most=_MOST_PAIRS,
            pictured=self._sightings.with_crops([tracklet.tracklet_key for tracklet in tracklets]),
        )


def _name_of(pair: DoubtfulPair) -> str:
    """Of what is asked: two tracklets, and whether they are one person now."""
    asked = f"{pair.one.face} {pair.other.face} {pair.is_together}"
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log = logger.warning if isinstance(error, OspreyError) else logger.error
        log("questions to operators could not be worked out, and will be again", error=str(error))

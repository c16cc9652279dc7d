"""What is known of the site when somebody asks whether a run should begin: new tracklets, and how matching changed.

How similarities were after the release came is kept in `baseline.json`, camera by camera, each taken when enough of its
tracklets were seen. Another release begins another baseline.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reid.files import write_json_atomic
from server.adaptation.book import RunBook
from server.adaptation.drift import Histograms, drifts, histogram, similarities
from server.adaptation.run import AdaptationRun
from server.adaptation.settings import TriggerSettings
from server.adaptation.triggers import Facts, Reason, reason_to_begin
from server.spaces import Spaces
from server.storage.members import SqlMembers
from server.storage.records import Records

_HOUR_US = 3_600 * 1_000_000


@dataclass(frozen=True)
class Baseline:
    """How matching was.

    Attributes:
        since_us: When this server first looked.
        space: Of the release then.
        histograms: Of cameras of which enough was seen.
    """

    since_us: int
    space: str
    histograms: Histograms


class SiteFacts:
    """Looks for reasons to begin a run. Called in a thread, one at a time.

    Args:
        book: All runs.
        records: Cameras.
        members: Persons and their tracklets.
        spaces: Gives what is served now.
        path: Of the baseline.
        settings: What counts as a reason.
    """

    def __init__(
        self,
        book: RunBook,
        records: Records,
        members: SqlMembers,
        *,
        spaces: Callable[[], Spaces],
        path: Path,
        settings: TriggerSettings,
    ) -> None:
        self._book = book
        self._records = records
        self._members = members
        self._spaces = spaces
        self._path = path
        self._settings = settings

    def look(self, last: AdaptationRun | None, now_us: int) -> Reason | None:
        """Why a run should begin at this moment, if it should.

        Args:
            last: The latest run.
            now_us: Server's clock.

        Raises:
            StorageError: The records cannot be read.
            OSError: The baseline cannot be written.
        """
        spaces = self._spaces()
        baseline = self._baseline(spaces.space, now_us)
        now = self._histograms(spaces, now_us)
        facts = Facts(
            last_started_us=last.started_us if last else baseline.since_us,
            num_new_tracklets=self._book.num_tracklets(first_key=last.first_tracklet_key if last else 0),
            drifts=drifts(baseline.histograms, now, threshold=spaces.served.threshold, settings=self._settings.drift),
        )
        self._extend(baseline, now)
        return reason_to_begin(facts, self._settings, now_us)

    def _histograms(self, spaces: Spaces, now_us: int) -> dict[str, list[int]]:
        """Of the similarities seen of late."""
        settings = self._settings.drift
        persons = sorted(self._members.find_persons(since_us=now_us - int(settings.window_h * _HOUR_US)))
        if len(persons) > settings.max_persons:
            persons = random.Random(now_us).sample(persons, settings.max_persons)
        cameras = self._records.read_directory().cameras
        found = similarities(self._members.read_members(persons, spaces))
        return {"/".join(cameras[key]): histogram(values) for key, values in found.items()}

    def _baseline(self, space: str, now_us: int) -> Baseline:
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
            baseline = Baseline(int(values["since_us"]), str(values["space"]), dict(values["histograms"]))
        except (OSError, ValueError, KeyError, TypeError):  # a damaged one is taken anew
            baseline = Baseline(now_us, space, {})
        return baseline if baseline.space == space else Baseline(baseline.since_us, space, {})

    def _extend(self, baseline: Baseline, now: Mapping[str, list[int]]) -> None:
        """Add cameras of which enough was seen for the first time."""
        least = self._settings.drift.least_tracklets
        fresh = {camera: counts for camera, counts in now.items() if sum(counts) >= least}
        histograms = {**fresh, **baseline.histograms}
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        values = {"since_us": baseline.since_us, "space": baseline.space, "histograms": histograms}
        write_json_atomic(self._path, values)

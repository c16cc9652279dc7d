"""What labels say of a release: the mAP that the gate has to do without."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reid.embedder import OnnxEmbedder
from reid.errors import OspreyError
from reid.files import write_json_atomic
from reid.release import MODEL_FILE, Release, load_release
from train.datasets.samples import Split
from train.evaluate import evaluate_split


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Scores releases on the test part of a split.

    Attributes:
        split: One with query and gallery.
        cache: Folder of the crop cache.
        memory: File in which scores are kept, by the hash of the graph.
    """

    split: Split
    cache: Path
    memory: Path

    def labelled_map(self, folder: Path) -> float | None:
        """MAP of the graph in fp32, in percent; None for a release that cannot be read or run."""
        try:
            release = load_release(folder)
            return self._remembered(release)
        except OspreyError:
            return None

    def _remembered(self, release: Release) -> float:
        scores: dict[str, float] = json.loads(self.memory.read_text()) if self.memory.exists() else {}
        key = release.manifest.sha256[MODEL_FILE]
        if key not in scores:
            found = evaluate_split(OnnxEmbedder(release, num_threads=1), self.split, self.cache)
            scores[key] = 100 * found.scores.mAP
            write_json_atomic(self.memory, scores)
        return scores[key]

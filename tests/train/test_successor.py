from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_dataset import people_in_memory
from fakes_network import seeded_osnet

from reid.alignment import align
from train.adapt import AdaptSettings
from train.adapted_release import AdaptedRun
from train.calibrate import UNCALIBRATED
from train.checkpoint import save_checkpoint
from train.embed import embed_crops
from train.export import ReleaseDescription, export_release
from train.site import site_of
from train.start import read_start
from train.successor import Evidence, make_release

SITE = site_of(people_in_memory(num_pids=6, num_crops=8, height_px=256, width_px=128))


def run_from(path: Path) -> AdaptedRun:
    settings = AdaptSettings(init=str(path))
    return AdaptedRun(
        start=read_start(path), recipe="ise", settings=settings, data={"data": "own", "split": "all"}, num_crops=1
    )


def test_a_run_from_a_bare_checkpoint_has_no_parent_to_align_to(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "bare.pt", seeded_osnet())
    evidence = Evidence(trained_on=SITE.crops, held_out=SITE)
    made = make_release(
        run_from(tmp_path / "bare.pt"), ("own", "1"), seeded_osnet(seed=1), tmp_path / "r", evidence, {}
    )
    assert made.alignment is None
    assert made.manifest.thresholds == UNCALIBRATED
    assert "aligned_cosine" not in made.manifest.metrics


@pytest.mark.parametrize("held_out", [SITE, None], ids=["held-out", "nothing-held-out"])
def test_a_map_from_the_parent_brings_its_embeddings_nearer(tmp_path: Path, held_out: object) -> None:
    parent, candidate = seeded_osnet(), seeded_osnet(seed=1)
    description = ReleaseDescription(name="own", version="1", thresholds=UNCALIBRATED, provenance={})
    export_release(parent, tmp_path / "parent", description)
    evidence = Evidence(trained_on=SITE.crops, held_out=held_out)  # type: ignore[arg-type]
    made = make_release(run_from(tmp_path / "parent"), ("own", "2"), candidate, tmp_path / "r", evidence, {"mAP": 0.5})
    assert made.alignment is not None
    old, new = (embed_crops(network, SITE.crops, precision="fp32") for network in (parent, candidate))
    before, after = np.sum(old * new, axis=1).mean(), np.sum(align(old, made.alignment) * new, axis=1).mean()
    assert after > before
    assert ("aligned_cosine" in made.manifest.metrics) == (held_out is not None)

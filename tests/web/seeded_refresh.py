"""Runs, releases and roll-outs as a site leaves them: one that was released, one that was refused, one under way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from sqlalchemy import select

from reid.release import (
    GOLDEN_FILE,
    MODEL_FILE,
    WEIGHTS_FILE,
    Release,
    write_alignment,
    write_release,
)
from server.adaptation.book import RunBook
from server.adaptation.examples import Answer, Example, Examples, Known
from server.adaptation.folder import AdaptationFolder
from server.adaptation.run import AdaptationRun, RunState
from server.api.closed_loop import ADAPTATION_FOLDER
from server.gate.verdict import Verdict, at_least, verdict_of
from server.releases.health import Health
from server.releases.ledger import RolloutLedger
from server.releases.rollout import Directive, EdgeState, Rollout, RolloutSettings, asked, begin
from server.site import Site
from server.storage.schema import crops
from server.types import CropName

TRAINING_PROGRAM = """\
import json, pathlib, sys, time
out = pathlib.Path(sys.argv[3])
out.mkdir(parents=True, exist_ok=True)
epochs = []
for epoch in range(1, 601):
    for step in range(1, 5):
        loss = 0.5 + 3 / epoch
        now = {"epoch": epoch, "num_epochs": 600, "step": step, "num_steps": 4, "loss": loss, "time_us": 0}
        (out / "progress.json").write_text(json.dumps(now))
        if out.parents[2].with_name("stop").exists():
            sys.exit()
        time.sleep(0.5)
    epochs.append({"epoch": epoch, "loss": loss, "num_clusters": 9 + epoch % 3, "noise_share": 0.3 / epoch,
                   "cross_camera_share": 0.9 - 0.4 / epoch, "duration_s": 2.0})
    (out / "metrics.json").write_text(json.dumps({"epochs": epochs}))
"""
"""Shows an epoch every two seconds, as a training does. Outlives its server; a file `stop` beside the data ends it."""
_HOUR_US = 3_600_000_000


def seed_refresh(site: Site, data: Path, scratch: Path, *, now_us: int) -> str:
    """Write all of it into a site that is open.

    Returns:
        Space of the release that was accepted.
    """
    served = site.release
    released = _child(served, scratch / "released", version="0.1.1", seed=1)
    refused = _child(served, scratch / "refused", version="0.1.2", seed=2)
    site.registry.register(released.folder, _verdict(gain=0.031))
    site.registry.register(refused.folder, _verdict(gain=-0.044))
    book = RunBook(site.engine, lease=site.lease)
    done = _run(served, "done", space=released.manifest.space, started_us=now_us - 30 * _HOUR_US)
    folder = _write_folder(data, book.begin(done), _verdict(gain=0.031))
    folder.examples.write_text(_examples(site).model_dump_json())
    (folder.run / "projection.json").write_text(json.dumps({"points": _points()}))
    refusal = _run(served, "refused", space=refused.manifest.space, started_us=now_us - 6 * _HOUR_US)
    _write_folder(data, book.begin(refusal), _verdict(gain=-0.044))
    under_way = book.begin(_run(served, "training", started_us=now_us - 120_000_000))
    snapshot = AdaptationFolder(data / ADAPTATION_FOLDER / str(under_way.run_key)).snapshot
    snapshot.mkdir(parents=True)
    (snapshot / "crops.csv").write_text("path,camid,tracklet,time_us,quality,part\n")
    RolloutLedger(site.engine, lease=site.lease).open(
        lambda key: _rollout(key, released, previous=served.manifest.space, now_us=now_us)
    )
    return released.manifest.space


def _child(parent: Release, folder: Path, *, version: str, seed: int) -> Release:
    """The parent's network with the numbers of its embeddings in another order, and the map that leads there."""
    order = np.random.default_rng(seed).permutation(parent.manifest.dim)
    model = onnx.load(parent.model_path)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("fc."):  # the last layer
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[order], tensor.name))
    folder.mkdir(parents=True)
    onnx.save(model, folder / MODEL_FILE)
    shutil.copyfile(parent.folder / WEIGHTS_FILE, folder / WEIGHTS_FILE)
    golden = parent.golden
    np.savez_compressed(folder / GOLDEN_FILE, crops=golden.crops, embeddings=golden.embeddings[:, order])
    write_alignment(folder, np.eye(parent.manifest.dim, dtype=np.float32)[:, order])
    values = parent.manifest.model_dump(mode="json", exclude={"sha256"})
    space = f"{parent.manifest.name}-{version}-{seed:08x}"
    return write_release(folder, {**values, "version": version, "space": space, "parent": parent.manifest.space})


def _verdict(*, gain: float) -> Verdict:
    checks = (
        at_least("golden_fp32", 0.99999, 0.9999, "least cosine to the golden embeddings in fp32"),
        at_least("held_out", 23, 20, "held-out tracklets of two crops with others beside them in their camera"),
        at_least("retrieval", gain, -0.02, "tracklet mAP on held-out tracklets, change against the parent"),
    )
    return verdict_of(checks, {"map_parent": 0.865, "map_candidate": 0.865 + gain, "seconds": 6.2})


def _run(served: Release, state: RunState, *, started_us: int, space: str = "") -> AdaptationRun:
    message = {
        "done": "accepted: all 3 checks passed",
        "refused": "tracklet mAP on held-out tracklets, change against the parent -0.044, wanted at least -0.02",
    }
    return AdaptationRun(
        state=state,
        trigger="operator",
        actor="ann",
        started_us=started_us,
        changed_us=started_us + _HOUR_US // 10,
        message=message.get(state, "the network is trained"),
        parent=served.manifest.space,
        space=space,
        num_crops_wanted=240,
        num_crops_received=233,
        num_crops_expired=7,
        crop_bytes=1_270_000,
    )


def _write_folder(data: Path, run: AdaptationRun, verdict: Verdict) -> AdaptationFolder:
    folder = AdaptationFolder(data / ADAPTATION_FOLDER / str(run.run_key))
    folder.run.mkdir(parents=True)
    epochs = [
        {
            "epoch": epoch,
            "loss": 2.9 - 0.3 * epoch + 0.02 * epoch**2,
            "num_clusters": 9 + epoch % 2,
            "noise_share": 0.2 / epoch,
            "cross_camera_share": 0.6 + 0.05 * epoch,
            "duration_s": 5.5,
        }
        for epoch in range(1, 7)
    ]
    (folder.run / "metrics.json").write_text(json.dumps({"epochs": epochs}))
    folder.verdict.write_text(json.dumps(verdict.to_json()))
    return folder


def _points() -> list[tuple[float, float, int, int]]:
    """Five clusters of samples, and supports between each and the next."""
    rng = np.random.default_rng(4)
    centres = rng.uniform(-10, 10, (5, 2))
    points = []
    for cluster, (centre, neighbour) in enumerate(zip(centres, np.roll(centres, 1, axis=0), strict=True)):
        points += [(*(centre + rng.normal(size=2)).round(3).tolist(), cluster, 0) for _ in range(12)]
        points += [(*(centre + share * (neighbour - centre)).round(3).tolist(), cluster, 1) for share in (0.2, 0.3)]
    return points


def _examples(site: Site) -> Examples:
    """What the first crops of some tracklets found: their own last crop third, then first."""
    crops_of: dict[int, list[CropName]] = {}
    with site.engine.connect() as connection:
        for row in connection.execute(select(crops).order_by(crops.c.tracklet_key, crops.c.time_us)):
            crops_of.setdefault(row.tracklet_key, []).append(CropName(row.spool_key, row.seq))
    tails = [names[-1] for names in crops_of.values()]
    examples = []
    for number, names in enumerate(list(crops_of.values())[:4]):
        own = _answer(names[-1], 0.91, "same")
        others = [_answer(name, 0.88 - 0.03 * rank, "unknown") for rank, name in enumerate(_others(tails, number))]
        before, after = (*others[:2], own, *others[2:]), (own, *others)
        ranks = {"rank_before": 3, "rank_after": 1}
        examples.append(Example(**names[0]._asdict(), **ranks, before=before, after=after))
    return Examples(num_tracklets=len(tails), num_better=4, num_worse=0, examples=tuple(examples))


def _others(tails: list[CropName], number: int) -> list[CropName]:
    return [name for other, name in enumerate(tails) if other != number][number : number + 4]


def _answer(name: CropName, similarity: float, known: Known) -> Answer:
    return Answer(**name._asdict(), similarity=similarity, known=known)


def _rollout(key: int, release: Release, *, previous: str, now_us: int) -> Rollout:
    """One ring has it, the second is asked, the third waits; paused, so that nobody is judged while tests run."""
    space = release.manifest.space
    settings = RolloutSettings(rings=("1", "2", "all"))
    begun = begin(
        rollout_key=key, space=space, previous=previous, parents={space: previous}, settings=settings, now_us=now_us
    )
    health = Health(embeddings_per_s=3.1, fault_share=0.0, embed_ms=9.5, coherence=0.82)
    directive = Directive(directive_id="seeded", action="install", space=space)
    installed = EdgeState(ring=0, state="installed", message="runs since 4 min", directive=directive, before=health)
    waiting = EdgeState(ring=1, before=health)
    edges = {
        "edge-c1": installed,
        "edge-c2": asked(begun, waiting, "install", space, now_us=now_us, message="downloads"),
    }
    return begun.with_(state="paused", reason="paused by ann", ring=1, edges=edges)

"""Three releases of one family: each space is the one before it, rotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from fakes_stream import DIM, SECOND_US, SERVED, ServerParts, batch, look, observation
from onnx import numpy_helper

from reid.alignment import Alignments
from reid.release import GOLDEN_FILE, MODEL_FILE, WEIGHTS_FILE, Release, write_alignment, write_release
from reid.types import FloatArray, Observation
from server.admission import Batch
from server.gallery.local import LocalGallery
from server.spaces import ServedSpace, Spaces
from server.types import PrototypeRef, Spool

OLD, MIDDLE, NEW = SERVED, replace(SERVED, space="tiny-2-0"), replace(SERVED, space="tiny-3-0", threshold=0.88)
STRANGE = replace(SERVED, space="strange")


def rotation(seed: int, dim: int = DIM) -> FloatArray:
    """A random rotation, always the same for a seed."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0].astype(np.float32)


FAMILY = Alignments({MIDDLE.space: (OLD.space, rotation(1)), NEW.space: (MIDDLE.space, rotation(2))})
WIDER_FAMILY = FAMILY.with_link(STRANGE.space, NEW.space, rotation(3))
"""What no server knows at first."""


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Some observations of one person, by one camera whose edge embeds in one space."""

    person: int
    camera: int
    start_s: float
    tracklet_id: int
    seed: int = 0
    num_views: int = 4

    def embeddings(self, served: ServedSpace) -> list[FloatArray]:
        rng = np.random.default_rng([self.person, self.seed])
        noisy_ND = look(self.person) + rng.normal(0, 0.04, (self.num_views, DIM)).astype(np.float32)
        units_ND = noisy_ND / np.linalg.norm(noisy_ND, axis=1, keepdims=True)
        return list(Spaces(served, WIDER_FAMILY).bring(units_ND, OLD.space))

    def observations(self, served: ServedSpace) -> list[Observation]:
        camid = f"cam{self.camera}"
        return [
            replace(
                observation(camid=camid, tracklet_id=self.tracklet_id, time_s=self.start_s + number),
                embedding=embedding,
            )
            for number, embedding in enumerate(self.embeddings(served))
        ]


@dataclass
class Fleet:
    """Edges of one camera each, which send what they see in whatever space they embed."""

    parts: ServerParts

    def __post_init__(self) -> None:
        self.seqs: dict[int, int] = {}

    def send(self, walk: Walk, served: ServedSpace = OLD) -> None:
        self.parts.ingest.step([self.batch(walk, served)])

    def batch(self, walk: Walk, served: ServedSpace = OLD) -> Batch:
        first = self.seqs.get(walk.camera, 0) + 1
        self.seqs[walk.camera] = first + walk.num_views - 1
        spool = Spool(f"edge{walk.camera}", "spool")
        return batch(first, *walk.observations(served), spool=spool, space=served.space)

    def persons(self) -> dict[tuple[int, int], int]:
        """(camera, tracklet_id) -> person_id."""
        summaries = self.parts.summaries.iter_summaries(person_id=0, with_sightings=False)
        return {(int(one.camera.camid[3:]), one.tracklet_id): one.person_id for one in summaries}


def crowd(seed: int, *, num_walks: int = 12) -> list[Walk]:
    """Walks of a few people past three cameras, in order of time."""
    rng = np.random.default_rng(seed)
    return [
        Walk(
            person=int(rng.integers(5)),
            camera=int(rng.integers(1, 4)),
            start_s=20.0 * number,
            tracklet_id=number + 1,
            seed=number,
            num_views=int(rng.integers(2, 6)),
        )
        for number in range(num_walks)
    ]


def family_parts(data: ServerParts, *, serves: ServedSpace = OLD) -> ServerParts:
    """The same parts, serving a release of the family beside the others."""
    return replace(data, serves=serves, alignments=FAMILY)


def move(parts: ServerParts, served: ServedSpace) -> None:
    """Move at once, as a server does."""
    step = parts.ingest.begin_move(served, LocalGallery(DIM))
    step.prepare()
    parts.ingest.finish_move(step, lambda: None)
    parts.gallery = step.gallery


def prototypes(parts: ServerParts) -> dict[PrototypeRef, FloatArray]:
    """What the gallery holds, asked for by itself."""
    people = parts.ingest._matcher.persons
    found: dict[PrototypeRef, FloatArray] = {}
    for ref in people.refs():
        vector = people.sum_of(ref) / np.linalg.norm(people.sum_of(ref))
        hits = parts.gallery.search(vector[np.newaxis], top=len(parts.gallery))
        row = hits.keys_QK[0].tolist().index(ref.prototype_key)
        assert hits.similarities_QK[0, row] > 0.999, "gallery and memory disagree"
        found[ref] = vector
    assert len(found) == len(parts.gallery)
    return found


def assert_alike(one: ServerParts, other: ServerParts, *, least: float = 0.999) -> None:
    """Both hold the same prototypes."""
    ours, theirs = prototypes(one), prototypes(other)
    assert ours.keys() == theirs.keys()
    cosines = [float(ours[ref] @ theirs[ref]) for ref in ours]
    assert min(cosines, default=1.0) > least, f"least cosine {min(cosines)}"


def hours_later(parts: ServerParts, hours: float = 1.0) -> None:
    """Let so much time pass that memory forgets its tracklets with the next step."""
    parts.clock.now_us += int(hours * 3600 * SECOND_US)


def walks_of(people: Sequence[int], *, camera: int = 1, start_s: float = 0.0, first_id: int = 1) -> list[Walk]:
    """One walk of each person, one after the other."""
    return [
        Walk(person=person, camera=camera, start_s=start_s + 20 * number, tracklet_id=first_id + number, seed=number)
        for number, person in enumerate(people)
    ]


def write_rotated_release(release: Release, folder: Path, matrix: FloatArray, *, version: str) -> Release:
    """Write a child of a tiny release whose embeddings are the parent's, rotated, with the alignment that says so."""
    model = onnx.load(release.model_path)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) @ matrix, "weight"))
    folder.mkdir(parents=True)
    onnx.save(model, folder / MODEL_FILE)
    (folder / WEIGHTS_FILE).write_bytes(version.encode())
    golden = release.golden
    np.savez_compressed(folder / GOLDEN_FILE, crops=golden.crops, embeddings=golden.embeddings @ matrix)
    write_alignment(folder, matrix)
    values = release.manifest.model_dump(mode="json", exclude={"sha256"})
    space = f"tiny-{version}-rotated"
    return write_release(folder, {**values, "version": version, "space": space, "parent": release.manifest.space})

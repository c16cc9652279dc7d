from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_spaces import rotation, write_rotated_release
from fakes_stream import SPOOL, batch, batch_message, hello, observation
from releases import write_tiny_release

from reid.embedder import OnnxEmbedder
from reid.errors import ReleaseError
from reid.release import Release
from reid.types import FloatArray, UInt8Array
from server.client import SearchClient
from server.errors import StorageError
from server.gate.verdict import Verdict
from server.settings import ServerSettings
from server.site import Site, open_site

FACES = np.random.default_rng(3).integers(0, 256, (4, 8, 3), dtype=np.uint8)
"""Colours of the bands of four people."""


def crop(person: int) -> UInt8Array:
    """A picture of a person, as the network takes it."""
    return np.repeat(np.repeat(FACES[person], 32, axis=0)[:, np.newaxis], 128, axis=1)


def photo(person: int) -> bytes:
    return cv2.imencode(".png", crop(person))[1].tobytes()


def seen(site: Site, release: Release, person: int, *, tracklet_id: int, first_seq: int) -> None:
    """An edge that runs a release sends four views of a person."""
    embedding = OnnxEmbedder(release, num_threads=1).embed(crop(person)[np.newaxis])[0]
    views = [
        replace(observation(tracklet_id=tracklet_id, time_s=20.0 * tracklet_id + number), embedding=embedding)
        for number in range(4)
    ]
    site.ingest.step([batch(first_seq, *views, spool=SPOOL, space=release.manifest.space)])


class Family:
    """A release, its child and grandchild, and a data folder that has seen three people with the first."""

    def __init__(self, folder: Path) -> None:
        self.first = write_tiny_release(folder / "first", match=0.95)
        self.second = write_rotated_release(self.first, folder / "second", rotation(1), version="2")
        self.third = write_rotated_release(self.second, folder / "third", rotation(2), version="3")
        self.settings = ServerSettings(data=folder / "data", release=self.first.folder, insecure=True)
        with self.open() as site:
            for person in range(3):
                seen(site, self.first, person, tracklet_id=person + 1, first_seq=4 * person + 1)

    @contextmanager
    def open(self) -> Iterator[Site]:
        with open_site(self.settings, self.first) as site:
            yield site

    def register(self, site: Site, *releases: Release) -> None:
        for release in releases:
            site.registry.register(release.folder, Verdict(is_accepted=True, checks=()))


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)


def run(site: Site, task: Callable[[], Awaitable[None]]) -> None:
    """Run something beside the writer."""

    async def both() -> None:
        writing = asyncio.create_task(site.writer.run())
        try:
            await task()
        finally:
            await site.writer.close()
            await writing

    asyncio.run(both())


def found(site: Site, person: int) -> tuple[int, float]:
    """The best hit of a photo: person_id and similarity."""
    ((ref, similarity), *_) = site.search.by_image(photo(person), top=1, with_provisional=True)
    return ref.person_id, similarity


def test_photos_find_their_persons_before_during_and_after_a_handover(family: Family) -> None:
    with family.open() as site:
        family.register(site, family.second, family.third)
        before = [found(site, person) for person in range(3)]
        met: list[list[tuple[int, float]]] = []

        async def task() -> None:
            await site.add_release(family.second)
            seen(site, family.second, 0, tracklet_id=10, first_seq=13)  # some edges run the new one already
            met.append([found(site, person) for person in range(3)])
            moving = asyncio.create_task(site.move_to(family.second))
            while not moving.done():
                met.append(await asyncio.to_thread(lambda: [found(site, person) for person in range(3)]))
            await moving
            met.append([found(site, person) for person in range(3)])
            await site.move_to(family.third)
            met.append([found(site, person) for person in range(3)])

        run(site, task)
        assert [person for person, _ in before] == [1, 2, 3]
        for answers in met:
            assert [person for person, _ in answers] == [1, 2, 3]
            assert min(similarity for _, similarity in answers) > 0.99
        assert site.release.manifest.space == family.third.manifest.space


def test_a_restart_serves_what_was_handed_over_with_persons_and_search(family: Family) -> None:
    with family.open() as site:
        family.register(site, family.second)
        run(site, lambda: site.move_to(family.second))
    with family.open() as again:
        assert again.release.manifest.space == family.second.manifest.space
        assert [found(again, person)[0] for person in range(3)] == [1, 2, 3]
        seen(again, family.first, 1, tracklet_id=20, first_seq=13)  # an edge that has not changed yet
        assert again.ingest.num_persons == 3


def test_a_release_without_an_alignment_is_refused_with_the_reason(family: Family, tmp_path: Path) -> None:
    stranger = write_tiny_release(tmp_path / "stranger", seed=5)
    with family.open() as site:
        with pytest.raises(ReleaseError, match="no alignment leads from its parent None"):
            run(site, lambda: site.move_to(stranger))
        assert site.release.manifest.space == family.first.manifest.space
        assert not site.ingest.spaces.knows(stranger.manifest.space)


def test_serving_what_is_served_is_no_change(family: Family) -> None:
    with family.open() as site:
        now = site.served.now
        run(site, lambda: site.move_to(family.first))
        assert site.served.now is now


def test_two_handovers_at_once_come_one_after_the_other(family: Family) -> None:
    with family.open() as site:
        family.register(site, family.second, family.third)

        async def task() -> None:
            await asyncio.gather(site.move_to(family.second), site.move_to(family.third))

        run(site, task)
        assert site.registry.served() == family.third.manifest.space
        assert [found(site, person)[0] for person in range(3)] == [1, 2, 3]


def test_a_handover_that_cannot_be_made_durable_leaves_everything_as_it_was(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, space: str) -> None:
        raise StorageError(f"disk full while {space} was noted (on request)")

    monkeypatch.setattr("server.releases.registry.ReleaseRegistry.set_served", fail)
    with family.open() as site:
        with pytest.raises(StorageError, match="on request"):
            run(site, lambda: site.move_to(family.second))
        assert site.release.manifest.space == site.ingest.spaces.space == family.first.manifest.space
        assert [found(site, person)[0] for person in range(3)] == [1, 2, 3]


def test_tracklets_embedded_again_are_taken_up(family: Family) -> None:
    mean: FloatArray = rotation(8)[0]
    with family.open() as site:
        family.register(site, family.second)
        site.records.put_tracklet_means(family.second.manifest.space, {2: mean})
        run(site, lambda: site.move_to(family.second))
        hits = site.served.now.gallery.search(mean[np.newaxis], top=1)
        assert hits.similarities_QK[0, 0] > 0.999
        assert hits.keys_QK[0, 0] >> 20 == 2


def test_edges_of_two_releases_stream_side_by_side(family: Family) -> None:
    with family.open() as site:
        family.register(site, family.second)
    embedder = OnnxEmbedder(family.second, num_threads=1)
    view = replace(observation(tracklet_id=50), embedding=embedder.embed(crop(2)[np.newaxis])[0])
    greeting, message = hello("edge7"), batch_message(1, *(replace(view, time_us=number) for number in range(4)))
    greeting.release.space = message.space = family.second.manifest.space
    with (
        running_server(family.settings.data, family.first) as address,
        TalkingEdge(address, greeting) as edge,
        SearchClient(address) as client,
    ):
        edge.welcome()
        edge.send(message)
        while edge.acknowledgement().acked_seq < 4:
            pass
        (best, *_) = client.search_image(photo(2), top=1)
        assert (best.person.person_id, best.person.num_observations, best.is_match) == (3, 8, True)

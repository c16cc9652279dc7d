"""The edge's client of The Update Framework against the server's repository, without a network between."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from releases import write_tiny_release
from tuf.api.exceptions import DownloadHTTPError

from edge.errors import UpdateError
from edge.releases.updates import Updates
from reid.release import load_release
from server.errors import NotFoundError
from server.releases.repository import ReleaseRepository


@dataclass
class Pieces:
    repository: ReleaseRepository
    path: str
    offset: int

    def __iter__(self):
        try:
            yield from self.repository.read(self.path, self.offset)
        except NotFoundError as error:
            raise DownloadHTTPError(str(error), 404) from None

    def cancel(self):
        pass


@pytest.fixture
def releases(tmp_path):
    return [write_tiny_release(tmp_path / f"r{number}", seed=number, version=str(number)) for number in (1, 2)]


@pytest.fixture
def repository(tmp_path, releases):
    repository = ReleaseRepository(tmp_path / "data")
    repository.make()
    repository.publish(releases[0])
    return repository


@pytest.fixture
def updates(tmp_path, repository):
    root = repository.root_text()

    @contextmanager
    def line():
        yield lambda path, offset: Pieces(repository, path, offset)

    return Updates(tmp_path / "updates", lambda: root, line)


def test_what_the_server_publishes_arrives_verified(updates, repository, releases):
    assert load_release(updates.fetch(releases[0].ref)).manifest == releases[0].manifest
    repository.publish(releases[1])
    assert load_release(updates.fetch(releases[1].ref)).manifest == releases[1].manifest


def test_what_the_server_withdraws_is_not_given_out_any_more(updates, repository, releases):
    repository.publish(releases[1])
    updates.fetch(releases[1].ref)
    updates.clear()
    repository.withdraw(releases[1].ref.space)
    with pytest.raises(UpdateError, match="is not among what this site has signed"):
        updates.fetch(releases[1].ref)
    assert updates.fetch(releases[0].ref).is_dir()


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "root"])
def test_an_edge_follows_a_rotation_of_any_key(updates, repository, releases, role):
    updates.fetch(releases[0].ref)
    repository.rotate(role)
    repository.publish(releases[1])
    assert load_release(updates.fetch(releases[1].ref)).ref == releases[1].ref


def test_without_the_root_key_updates_go_on(updates, repository, releases):
    for path in repository.keys_folder.glob("root-*.key"):
        path.unlink()
    repository.publish(releases[1])
    repository.renew()
    assert load_release(updates.fetch(releases[1].ref)).ref == releases[1].ref

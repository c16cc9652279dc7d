from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes_running import TalkingEdge, running_server
from fakes_stream import batch_message, half_bytes, look, observation
from releases import DIM

from reid.attributes import AttributeHead, write_attributes
from reid.release import ATTRIBUTES_FILE, Release, write_release
from server.cli import main
from server.client import SearchClient


@pytest.fixture
def described(tiny_release: Release) -> Release:
    """A release whose head says `Hat` of whoever looks like person 0, and `Bag` of everybody."""
    weight = np.stack([50 * look(0), np.zeros(DIM)]).astype(np.float32)
    head = AttributeHead(("Hat", "Bag"), weight, np.array([-30, 2], np.float32))
    write_attributes(tiny_release.folder / ATTRIBUTES_FILE, head)
    return write_release(tiny_release.folder, tiny_release.manifest.model_dump(exclude={"sha256"}))


def seen_by(release: Release, data: Path) -> Iterator[str]:
    """The address of a server that has seen persons 0 and 1."""
    with running_server(data, release) as address, TalkingEdge(address) as edge:
        edge.welcome()
        edge.send(batch_message(1, *(observation(0, time_s=i) for i in range(4))))
        edge.send(batch_message(5, *(observation(1, time_s=i, tracklet_id=3) for i in range(4))))
        while edge.acknowledgement().acked_seq < 8:
            pass
        yield address


@pytest.fixture
def address(tmp_path: Path, described: Release) -> Iterator[str]:
    yield from seen_by(described, tmp_path / "data")


@pytest.fixture
def plain_address(tmp_path: Path, tiny_release: Release) -> Iterator[str]:
    yield from seen_by(tiny_release, tmp_path / "data")


def test_a_search_tells_what_each_person_looks_like(address: str) -> None:
    with SearchClient(address) as client:
        first, second = client.search_embedding(half_bytes(0), top=5)
    assert [attribute.name for attribute in first.attributes] == ["Hat", "Bag"]
    assert first.attributes[0].probability > 0.99
    assert {attribute.name: attribute.probability for attribute in second.attributes}["Hat"] < 0.01
    assert second.attributes[0].probability == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-5)


def test_a_release_without_a_head_tells_nothing_of_looks(plain_address: str) -> None:
    with SearchClient(plain_address) as client:
        assert [match.attributes for match in client.search_embedding(half_bytes(0), top=5)] == [(), ()]


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "table"])
def test_the_command_shows_attributes(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (80, 40, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "probe.png"), picture)
    words = ["search", "--image", str(tmp_path / "probe.png"), "--server", address]
    with pytest.raises(SystemExit):
        main([*words, *(["--json"] if as_json else [])])
    shown = capsys.readouterr().out
    if as_json:
        described = {match["person"]["person_id"]: match["attributes"] for match in json.loads(shown)}
        assert [attribute["name"] for attribute in described[1]] == ["Hat", "Bag"]
    else:
        assert "attributes" in shown
        assert "Hat, Bag" in shown

"""Promise: whatever is killed during an update, the next start goes on with it and believes nothing unsigned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from killed_updates import directive_of, open_edge
from releases import write_tiny_release
from signed_site import SignedSite

from edge.releases.directives import AnswerState
from reid.release import load_release

STEPS = [
    *(f"{when}-root" for when in ("before", "after")),
    *(f"{when}-metadata-{number}" for when in ("before", "after") for number in (1, 2, 3)),
    *(f"{when}-sync" for when in ("before", "after")),
    *(f"{when}-part-{number}" for when in ("before", "after") for number in (1, 2)),
    *(f"{when}-file-{number}" for when in ("before", "after") for number in (1, 4)),
    *(f"{when}-{name}" for when in ("before", "after") for name in ("load", "stage", "ask")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Edges whose update was killed, each at its step."""
    folder = tmp_path_factory.mktemp("killed")
    write_tiny_release(folder / "old")
    new = write_tiny_release(folder / "new", seed=2, version="2")
    site = SignedSite()
    site.publish(new)
    for path, content in {**site.files, "root.json": site.first_root.encode()}.items():
        (folder / "site" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "site" / path).write_bytes(content)
    (folder / "ref.json").write_text(json.dumps(asdict(new.ref)))
    script = Path(__file__).with_name("killed_updates.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, str(script), str(folder), *STEPS]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return folder


@pytest.mark.parametrize("step", STEPS)
def test_the_next_start_goes_on_and_asks_for_the_signed_release(folder, step):
    store, directives = open_edge(folder, step)
    store.recover()
    directives.take(directive_of(folder))
    directives.step()
    assert directives.answer.state is AnswerState.ACCEPTED, directives.answer.message
    request = store.read_request()
    assert request.request_id == "directive-d1"
    assert load_release(store.folder / request.key).manifest == load_release(folder / "new").manifest
    assert not list((store.folder / "updates" / "metadata").glob("tmp*"))

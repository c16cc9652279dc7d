from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from edge.backends.choice import Choice, choice_key, choice_path, recall, remember
from edge.backends.registry import BACKENDS
from reid.release import load_release


@pytest.fixture
def key(tiny_release):
    return choice_key(tiny_release, asked="auto", num_threads=1, backends=BACKENDS)


@pytest.fixture
def choice(key):
    return Choice(key=key, backend="openvino", precision="bf16", why="2 ms against 3 ms")


def test_nothing_is_remembered_at_first(tiny_release, key):
    assert recall(tiny_release, key) is None


def test_what_is_remembered_comes_back(tiny_release, choice):
    remember(tiny_release, choice)
    assert recall(tiny_release, choice.key) == choice


def test_the_release_itself_is_left_as_it_is(tiny_release, choice):
    before = sorted(tiny_release.folder.iterdir())
    remember(tiny_release, choice)
    assert sorted(tiny_release.folder.iterdir()) == before
    assert load_release(tiny_release.folder).ref == tiny_release.ref


@pytest.mark.parametrize(
    "change",
    [
        {"asked": "openvino"},
        {"model_sha256": {"fp32": "another release"}},
        {"cpu": "another machine"},
        {"num_cores": 99},
        {"num_threads": 2},
        {"versions": {"onnxruntime": "1.0", "openvino": "none"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_key_finds_nothing(tiny_release, choice, change):
    remember(tiny_release, choice)
    assert recall(tiny_release, choice.key.model_copy(update=change)) is None


@pytest.mark.parametrize("content", ["", "[]", '{"backend": "x"}', "\x00"], ids=["empty", "list", "fields", "binary"])
def test_a_damaged_file_is_named_and_ignored(tiny_release, key, content):
    choice_path(tiny_release).write_text(content)
    with capture_logs() as logs:
        assert recall(tiny_release, key) is None
    assert logs[0]["file"] == str(choice_path(tiny_release))


def test_a_back_end_that_there_is_none_of_is_ignored(tiny_release, choice):
    remember(tiny_release, choice.model_copy(update={"backend": "abacus"}))
    assert recall(tiny_release, choice.key) is None


def test_a_place_that_cannot_be_written_costs_a_line_in_the_log(tiny_release, choice):
    choice_path(tiny_release).mkdir()
    with capture_logs() as logs:
        remember(tiny_release, choice)
    assert logs[0]["event"] == "choice of back end not remembered"

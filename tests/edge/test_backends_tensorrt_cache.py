from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

import reid.files
from edge.backends.tensorrt.cache import SUFFIX, EngineCache, EngineKey, read_engine
from edge.errors import BackendError

PLAN = bytes(range(256)) * 8


def key(**changes):
    values = {
        "onnx_sha256": "ab" * 32,
        "flavour": "tensorrt",
        "version": "10.3.0",
        "device": "Orin",
        "capability": "8.7",
        "profile": "1,8,32",
        "precision": "fp16",
        "is_refittable": True,
        "allows_tf32": False,
        "recipe": 1,
    }
    return EngineKey.model_validate(values | changes)


def store(cache, wanted, plan=PLAN):
    return cache.store(wanted, plan, name="model.onnx", summary={"layers": 404})


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def test_an_engine_comes_back_with_what_it_was_built_of(cache):
    path = store(cache, key())
    assert cache.load(key()) == PLAN
    header = read_engine(path).header
    assert (header.key, header.name, header.summary) == (key(), "model.onnx", {"layers": 404})


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "10.13.0"},
        {"flavour": "tensorrt_rtx"},
        {"device": "Thor"},
        {"capability": "11.0"},
        {"profile": "1,8,64"},
        {"precision": "fp32"},
        {"is_refittable": False},
        {"onnx_sha256": "cd" * 32},
        {"recipe": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_engine_of_another_key_is_not_found(cache, changes):
    store(cache, key())
    assert cache.load(key(**changes)) is None
    assert cache.load(key()) == PLAN


@pytest.mark.parametrize("kept", [0, 10, 200, -1], ids=lambda kept: f"{kept}-bytes")
def test_a_truncated_file_is_thrown_away(cache, kept):
    path = store(cache, key())
    path.write_bytes(path.read_bytes()[:kept])
    with capture_logs() as logs:
        assert cache.load(key()) is None
    assert logs[0]["event"] == "engine thrown away"
    assert not path.exists()


@pytest.mark.parametrize("place", [3, 30, -5], ids=["magic", "head", "engine"])
def test_a_damaged_file_is_thrown_away_with_the_reason(cache, place):
    path = store(cache, key())
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with capture_logs() as logs:
        assert cache.load(key()) is None
    assert str(path) in logs[0]["reason"]
    assert not path.exists()


def test_an_engine_copied_from_another_device_under_this_name_is_thrown_away(cache):
    foreign = store(cache, key(device="Xavier", capability="7.2"))
    foreign.rename(cache.folder / key().file_name())
    with capture_logs() as logs:
        assert cache.load(key()) is None
    assert logs[0]["reason"] == "built for another key: device Xavier, wanted Orin; capability 7.2, wanted 8.7"


def test_a_bare_plan_is_no_engine_of_ours(tmp_path):
    (tmp_path / "bare.engine").write_bytes(PLAN)
    with pytest.raises(BackendError, match=r"bare\.engine is no engine of 'osprey-edge engine build'"):
        read_engine(tmp_path / "bare.engine")


def test_a_head_without_its_fields_is_named(tmp_path):
    path = tmp_path / "x.engine"
    path.write_bytes(b"OSPREY-ENGINE 1\n" + json.dumps({"key": {}}).encode() + b"\n")
    with pytest.raises(BackendError, match="the head of the engine's file is damaged"):
        read_engine(path)


def test_power_loss_between_write_and_rename_leaves_the_old_engine_and_no_litter(cache):
    store(cache, key())
    _die_in_mid_store(cache.folder)
    assert [path.suffix for path in cache.folder.iterdir() if path.name.startswith(".")] != []
    assert cache.load(key()) == PLAN
    store(cache, key(precision="fp32"))
    assert sorted(path.suffix for path in cache.folder.iterdir()) == [SUFFIX, SUFFIX]


def test_the_one_longest_out_of_use_goes_first(tmp_path):
    cache = EngineCache(tmp_path, most_engines=2)
    for recipe in (1, 2):
        _age(store(cache, key(recipe=recipe)), seconds=10 - recipe)
    cache.load(key(recipe=1))
    store(cache, key(recipe=3))
    assert [cache.load(key(recipe=recipe)) is not None for recipe in (1, 2, 3)] == [True, False, True]


def test_size_is_bounded_but_the_newest_stays_however_large(tmp_path):
    cache = EngineCache(tmp_path, most_bytes=3 * len(PLAN))
    _age(store(cache, key(recipe=1)), seconds=10)
    store(cache, key(recipe=2), PLAN * 5)
    assert [cache.load(key(recipe=recipe)) is not None for recipe in (1, 2)] == [False, True]


def test_a_disk_that_takes_nothing_is_named_and_survived(cache, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(reid.files.tempfile, "mkstemp", refuse)
    with capture_logs() as logs:
        assert store(cache, key()) is None
    assert (logs[0]["event"], logs[0]["problem"]) == ("engine not kept", "Read-only file system")
    assert cache.load(key()) is None


def test_a_file_in_the_place_of_the_folder_is_survived(tmp_path):
    (tmp_path / "engines").write_text("no folder")
    cache = EngineCache(tmp_path / "engines")
    assert store(cache, key()) is None
    assert cache.load(key()) is None


def test_a_discarded_engine_is_gone(cache):
    store(cache, key())
    cache.discard(key(), "golden crops come out wrong")
    cache.discard(key(), "golden crops come out wrong")
    assert cache.load(key()) is None


def test_what_builds_measured_is_kept_for_one_device_and_version(cache):
    cache.store_timing(key(), b"times")
    assert cache.load_timing(key(precision="int8", onnx_sha256="cd" * 32)) == b"times"
    assert cache.load_timing(key(device="Thor")) == cache.load_timing(key(version="11.0")) == b""


def _age(path, *, seconds):
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def _die_in_mid_store(folder):
    """Store another engine under the same key in a process that is killed when all is written but the name."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "from test_backends_tensorrt_cache import EngineCache, key, store\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store(EngineCache(Path(sys.argv[1])), key(), b'other')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder), *sys.path], check=False)
    assert done.returncode == -9

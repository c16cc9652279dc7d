"""`osprey-edge engine`: on the TensorRT that is installed where there is no GPU, and on fakes where there is one."""

from __future__ import annotations

import json

import pytest
from fakes_cuda import FakeGpu
from fakes_tensorrt import FakeTensorRt, Flag

from edge import commands_engine
from edge.backends.tensorrt.cache import EngineCache
from edge.backends.tensorrt.embedder import Gpu
from edge.backends.tensorrt.module import tensorrt_version
from edge.backends.tensorrt.plans import PlanSource
from edge.cli import main
from edge.errors import BackendError

needs_rtx = pytest.mark.skipif("tensorrt_rtx" not in tensorrt_version(), reason="tensorrt_rtx is not what is installed")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_info:
        main(["engine", *map(str, arguments)])
    captured = capsys.readouterr()
    return exit_info.value.code or 0, captured.out, captured.err


@pytest.fixture
def trt(monkeypatch):
    """A machine with a fake GPU."""
    device = FakeGpu()
    trt = FakeTensorRt(device)

    def find_gpu(folder, **_):
        return Gpu(PlanSource(trt.installed(), trt.gpu.device, EngineCache(folder)), device.open_cuda)

    monkeypatch.setattr(commands_engine, "find_gpu", find_gpu)
    return trt


@pytest.fixture
def no_gpu(monkeypatch):
    def find_gpu(_folder, **_):
        raise BackendError("no NVIDIA driver can be used here")

    monkeypatch.setattr(commands_engine, "find_gpu", find_gpu)


def build(capsys, release, *options):
    code, out, err = run(capsys, "build", "--release", release.folder, "--json", *options)
    assert code == 0, err
    return json.loads(out)["engines"]


def test_build_keeps_an_engine_beside_the_release_and_the_second_time_finds_it(capsys, tiny_release, trt):
    first, second = build(capsys, tiny_release)[0], build(capsys, tiny_release)[0]
    assert first["file"].startswith(str(tiny_release.folder.parent / "engines" / "fp32-"))
    assert (first["cached"], second["cached"], first["device"], first["profile"]) == (False, True, "Fake GPU", "1,8,32")
    assert trt.builds == [{Flag.REFIT}]


@pytest.mark.parametrize(
    ("options", "field", "wanted"),
    [
        (["--no-refit"], "is_refittable", False),
        (["--batch", "1,64,128"], "profile", "1,64,128"),
        (["--rebuild"], "cached", False),
    ],
    ids=["no-refit", "batch", "rebuild"],
)
def test_options_of_build_reach_the_engine(capsys, tiny_release, trt, options, field, wanted):
    build(capsys, tiny_release)
    assert build(capsys, tiny_release, *options)[0][field] == wanted
    assert len(trt.builds) == 2


def test_inspect_says_whether_an_engine_runs_here_and_why_not(capsys, tiny_release, trt, tmp_path):
    build(capsys, tiny_release, "--cache", tmp_path / "engines")
    here = json.loads(run(capsys, "inspect", tmp_path / "engines", "--json")[1])["engines"]
    trt.gpu = FakeGpu()
    trt.gpu.device = type(trt.gpu.device)("Other GPU", "9.0", 1 << 30)
    _, elsewhere, _ = run(capsys, "inspect", tmp_path / "engines")
    assert [one["runs_here"] for one in here] == [True]
    assert "does not run here: device Fake GPU, wanted Other GPU; capability 8.7, wanted 9.0" in elsewhere


def test_inspect_shows_a_broken_engine_beside_whole_ones(capsys, tiny_release, trt, tmp_path):
    build(capsys, tiny_release, "--cache", tmp_path / "engines")
    (tmp_path / "engines" / "broken.engine").write_bytes(b"junk")
    code, out, _ = run(capsys, "inspect", tmp_path / "engines", "--json")
    assert code == 0
    assert sorted(one["runs_here"] for one in json.loads(out)["engines"]) == [False, True]


def test_a_broken_engine_alone_is_an_error(capsys, tmp_path):
    (tmp_path / "broken.engine").write_bytes(b"junk")
    code, _, err = run(capsys, "inspect", tmp_path / "broken.engine")
    assert (code, "is no engine of 'osprey-edge engine build'" in err) == (2, True)


def test_nothing_to_inspect_names_the_folder_and_the_way_out(capsys, tiny_release):
    code, _, err = run(capsys, "inspect", "--release", tiny_release.folder)
    assert code == 2
    assert f"no engine in {tiny_release.folder.parent / 'engines'}: build one with 'osprey-edge engine build'" in err


@needs_rtx
def test_without_a_gpu_an_engine_is_built_all_the_same_and_said_to_run_nowhere(capsys, tiny_release, no_gpu):
    code, out, err = run(capsys, "build", "--release", tiny_release.folder)
    assert code == 0
    assert "engines that are built here run nowhere: no NVIDIA driver" in err
    assert "model.onnx in fp32, batch 1,8,32, without refit" in out
    seen = json.loads(run(capsys, "inspect", "--release", tiny_release.folder, "--json")[1])["engines"][0]
    assert (seen["device"], seen["built_of"]["layers"], seen["runs_here"]) == ("none", 6, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch", "4,2,1"], "batch profile 4,2,1: wanted LEAST,BEST,MOST in rising order"),
        (["--batch", "many"], "--batch 'many': wanted LEAST,BEST,MOST, for example 1,8,32"),
        (["--precision", "fp8"], "--precision fp8: wanted one of fp32, fp16, int8"),
        (["--precision", "int8"], "it has no model_int8.onnx"),
    ],
)
def test_wrong_usage_is_one_line(capsys, tiny_release, trt, options, message):
    code, out, err = run(capsys, "build", "--release", tiny_release.folder, *options)
    assert (code, out) == (2, "")
    assert message in err

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.instruments.latency.contestants import our_contestants
from benchmarks.instruments.latency.energy import board_mw, find_meters, joules_per_call
from benchmarks.instruments.latency.release import other_release
from benchmarks.instruments.latency.rivals import extract, zoo_contestants
from benchmarks.instruments.latency.scene import Scene, boxes_of_height
from benchmarks.instruments.latency.swap import longest_gap_ms, measure_swaps, ways_to_prepare
from edge.backends.registry import BACKENDS
from edge.settings import SHIPPED_RELEASE
from reid.embedder import OnnxEmbedder
from reid.release import Release, load_release
from reid.types import Box

ONNX = {"onnxruntime": BACKENDS["onnxruntime"]}


def test_a_contestant_makes_the_same_of_a_frame_as_of_its_crops(tiny_release: Release) -> None:
    [ours], missing = our_contestants(tiny_release, num_threads=1, backends=ONNX)
    image = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    scene = Scene(image, [Box(0, 0, 60, 150), Box(100, 20, 250, 299)])
    assert (ours.name, missing) == ("onnxruntime fp32", {})
    assert np.array_equal(ours.from_frame(scene.image, scene.boxes), ours.run(ours.prepare(scene.crops)))


def test_boxes_of_a_height_lie_inside_the_frame() -> None:
    scene = Scene(np.zeros((720, 1280, 3), np.uint8), [])
    for box in boxes_of_height(scene, 600):
        assert (box.height_px, box.width_px) == pytest.approx((600, 240))
        assert 0 <= box.x1 < box.x2 <= 1280
        assert 0 <= box.y1 < box.y2 <= 720


def test_the_eager_extractor_takes_pictures_of_any_size() -> None:
    torch = pytest.importorskip("torch")
    colours = [np.full((height, 60, 3), (255, 0, 0), np.uint8) for height in (100, 333)]
    rows = extract(lambda images: images.mean(dim=(2, 3)), colours)
    blue = torch.tensor([(0 - 0.485) / 0.229, (0 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    assert np.allclose(rows, (blue / blue.norm()).numpy(), atol=1e-5)


def test_networks_that_are_not_there_are_named_with_the_flag(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    found, missing = zoo_contestants(tmp_path, num_threads=1)
    assert not found
    assert all("--zoo DIR" in reason for reason in missing.values())


def test_another_release_has_other_weights_in_another_space_and_is_sound(tmp_path: Path) -> None:
    original = load_release(SHIPPED_RELEASE)
    first, second = (other_release(original, tmp_path / str(number), number=number) for number in (1, 2))
    assert len({one.ref.space for one in (original, first, second)}) == 3
    crops = original.golden.crops[:1]
    rows = [OnnxEmbedder(one, num_threads=1).embed(crops)[0] for one in (original, first, second)]
    assert max(rows[0] @ rows[1], rows[1] @ rows[2]) < 0.9999
    assert rows[1] @ first.golden.embeddings[0] > 0.9999


def test_swaps_under_load_lose_no_batch(tmp_path: Path) -> None:
    original = load_release(SHIPPED_RELEASE)
    releases = [other_release(original, tmp_path / "other", number=1)]
    embedder = OnnxEmbedder(original, num_threads=1)
    [(way, prepare)] = ways_to_prepare(embedder, 1).items()
    found = measure_swaps(embedder, releases, original.golden.crops, prepare, calm_s=0.2)
    assert (way, found["failed_batches"], found["releases"]) == ("rebuild", 0, 2)
    assert 0 < found["gap_ms"] < 60_000


def test_the_longest_gap_is_between_neighbours_in_time() -> None:
    assert longest_gap_ms([0.30, 0.0, 0.1]) == 200
    assert longest_gap_ms([1.0]) == 0


def test_energy_is_read_from_the_counter_of_the_processor_over_its_overflow(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "max_energy_range_uj").write_text("1000000")
    (zone / "energy_uj").write_text("900000")
    meters, missing = find_meters(tmp_path)
    [meter] = [one for one in meters if one.name.startswith("RAPL")]
    assert joules_per_call(meter, lambda: (zone / "energy_uj").write_text("100000"), seconds=0.0) == pytest.approx(0.2)
    assert "tegrastats" in missing


def test_what_tells_no_energy_says_why(tmp_path: Path) -> None:
    _, missing = find_meters(tmp_path)
    assert "no intel-rapl zone" in missing["RAPL"]


@pytest.mark.parametrize(
    ("line", "power_mw"),
    [("RAM 3/7 VDD_IN 4567mW/4200mW VDD_CPU 1mW/1mW", 4567), ("POM_5V_IN 3201/3201 POM_5V_GPU 0/0", 3201)],
    ids=["orin", "nano"],
)
def test_power_of_the_board_is_read_from_tegrastats(line: str, power_mw: float) -> None:
    assert board_mw(line) == power_mw

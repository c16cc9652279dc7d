from __future__ import annotations

from pathlib import Path

import pytest

from reid.machine import cpu_name


def test_the_model_is_named(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU 9000\nprocessor\t: 1\nmodel name\t: Some CPU 9000\n")
    assert cpu_name(info) == "Some CPU 9000"


@pytest.mark.parametrize("content", [None, "CPU part\t: 0xd42\n"], ids=["no-file", "arm"])
def test_without_a_model_something_is_said_all_the_same(tmp_path: Path, content: str | None) -> None:
    info = tmp_path / "cpuinfo"
    if content is not None:
        info.write_text(content)
    assert cpu_name(info)

from __future__ import annotations

import pytest
from fakes_thermal import write_device, write_zone

from edge.thermal import temperatures, throttling


def test_temperatures_are_read_where_they_can_be(tmp_path):
    write_zone(tmp_path, 0, "cpu-thermal", "48500")
    write_zone(tmp_path, 1, "gpu-thermal", "off")
    assert temperatures(tmp_path) == {"zone0 cpu-thermal": 48.5}


def test_processors_that_are_slowed_down_count_by_kind_and_the_slowest_tells(tmp_path):
    write_device(tmp_path, 0, "Processor", state="0", most="4")
    write_device(tmp_path, 1, "Processor", state="3", most="4")
    assert throttling(tmp_path) == {"Processor": 0.75}


@pytest.mark.parametrize(
    ("kind", "state", "most"),
    [("pwm-fan", "3", "4"), ("Fan", "1", "1"), ("thermal-devfreq-0", "unknown", "4"), ("LCD", "0", "0")],
    ids=["fan", "acpi-fan", "unreadable", "no-states"],
)
def test_fans_and_what_cannot_be_read_are_no_throttling(tmp_path, kind, state, most):
    write_device(tmp_path, 0, kind, state=state, most=most)
    assert throttling(tmp_path) == {}


def test_a_machine_without_thermal_zones_is_no_error(tmp_path):
    assert (temperatures(tmp_path / "none"), throttling(tmp_path / "none")) == ({}, {})

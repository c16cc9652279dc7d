from __future__ import annotations

import pytest

from reid.errors import ConfigError
from train.complexity import count_macs, count_parameters


@pytest.mark.parametrize(
    ("architecture", "wanted"),
    [("osnet_x1_0", 2_169_508), ("osnet_x0_75", 1_285_754), ("osnet_x0_5", 630_034), ("osnet_x0_25", 201_864)],
)
def test_parameters_are_those_of_the_paper_with_the_gate_counted_once(architecture: str, wanted: int) -> None:
    assert count_parameters(architecture) == wanted


@pytest.mark.parametrize(("architecture", "wanted"), [("osnet_x1_0", 978_875_392), ("osnet_x0_25", 82_314_880)])
def test_macs_are_the_published_ones(architecture: str, wanted: int) -> None:
    assert count_macs(architecture) == wanted


@pytest.mark.parametrize("variant", ["ibn", "ain"])
def test_instance_norm_costs_no_macs(variant: str) -> None:
    assert count_macs(f"osnet_{variant}_x0_5") == count_macs("osnet_x0_5")


def test_unknown_architecture_is_refused() -> None:
    with pytest.raises(ConfigError, match="resnet18"):
        count_macs("resnet18")

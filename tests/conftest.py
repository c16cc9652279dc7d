"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from releases import write_tiny_release

from reid.release import Release

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def default_logs() -> Iterator[None]:
    """Commands configure the logs of their process; what a test runs here must not silence the next one."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def tiny_release(tmp_path: Path) -> Release:
    """A sealed release with a network of a few weights, D = 8: the mean colours of a crop's 8 horizontal bands."""
    return write_tiny_release(tmp_path / "tiny_release")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The third-party data sets; tests that ask for it carry the marker `data`."""
    root = Path(os.environ.get("OSPREY_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no data sets at {root}; set OSPREY_DATA")
    return root

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes_stream import ServerParts, open_parts


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[ServerParts]:
    yield from open_parts(tmp_path)

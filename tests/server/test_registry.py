from __future__ import annotations

from pathlib import Path

import pytest

from server.errors import SecurityError
from server.security.registry import Enrolment, Registry


def enrolment(serial: str, name: str = "e1") -> Enrolment:
    return Enrolment(serial=serial, kind="edge", name=name, camids=("c1",), ends_at_s=9)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "enrolled.json")


def test_nobody_is_enrolled_at_first(registry: Registry) -> None:
    assert registry.find("1") is None


def test_another_reader_sees_a_revocation_at_once(registry: Registry, tmp_path: Path) -> None:
    reader = Registry(tmp_path / "enrolled.json")
    registry.add(enrolment("1"))
    found = reader.find("1")
    assert found is not None
    assert not found.revoked_at_s
    registry.revoke("edge", "e1", now_s=7)
    found = reader.find("1")
    assert found is not None
    assert found.revoked_at_s == 7


def test_one_serial_is_revoked_alone(registry: Registry) -> None:
    registry.add(enrolment("1"))
    registry.add(enrolment("2"))
    assert registry.revoke("edge", "e1", serial="1", now_s=7) == 1
    assert [item.revoked_at_s for item in registry.list_all()] == [7, 0]


def test_who_is_unknown_cannot_be_revoked(registry: Registry) -> None:
    registry.add(enrolment("1"))
    with pytest.raises(SecurityError, match="edge e2 was never enrolled"):
        registry.revoke("edge", "e2", now_s=7)
    with pytest.raises(SecurityError, match="with serial 5"):
        registry.revoke("edge", "e1", serial="5", now_s=7)


@pytest.mark.parametrize("content", ["{", "[1]", '[{"serial": "1"}]'])
def test_a_damaged_list_lets_nobody_in(registry: Registry, tmp_path: Path, content: str) -> None:
    registry.add(enrolment("1"))
    (tmp_path / "enrolled.json").write_text(content)
    with pytest.raises(SecurityError, match=r"enrolled\.json, cannot be read"):
        registry.find("1")

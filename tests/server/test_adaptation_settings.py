from __future__ import annotations

import pytest

from reid.errors import ConfigError
from reid.settings import parse_settings
from server.adaptation.command import fill
from server.adaptation.settings import DEFAULT_COMMAND, AdaptationSettings

VALUES = {
    "python": "/usr/bin/python3",
    "snapshot": "/data/a b/snapshot",
    "init": "/parent",
    "out": "/run",
    "version": "2",
    "epochs": 5,
    "method": "ise-plus",
    "source": "",
    "resume": "",
}


def test_what_is_filled_in_stays_one_word_and_empty_words_vanish() -> None:
    words = fill(DEFAULT_COMMAND, VALUES)
    assert words[:4] == ["/usr/bin/python3", "-m", "train", "adapt"]
    assert "/data/a b/snapshot" in words
    assert "" not in words


def test_a_command_for_elsewhere_keeps_its_quotes_together() -> None:
    words = fill("ssh gpu 'osprey-train adapt --data-root {snapshot} --init {init} --out {out}'", VALUES)
    assert words == ["ssh", "gpu", "osprey-train adapt --data-root /data/a b/snapshot --init /parent --out /run"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"command": "train {snapshot} {init}"}, "lacks {out}"),
        ({"command": "train {snapshot} {init} {out} {folder}"}, "unknown place {folder}"),
        ({"command": "train '{snapshot} {init} {out}"}, "closing quotation"),
        ({"triggers": {"quiet_hours": "at night"}}, "wanted spans"),
        ({"triggers": {"time_zone": "Mars/Olympus"}}, "wanted a time zone"),
        ({"triggers": {"new_tracklet": 5}}, "did you mean 'new_tracklets'"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_settings(AdaptationSettings, values, source="test")

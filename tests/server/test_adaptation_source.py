from __future__ import annotations

from pathlib import Path

import pytest

from reid.errors import ConfigError
from reid.settings import parse_settings
from server.adaptation.command import fill
from server.adaptation.settings import DEFAULT_COMMAND, AdaptationSettings
from server.adaptation.source import SourceSettings, check_source
from server.cli import main

PLACES = ("python", "snapshot", "init", "out", "version", "epochs", "method", "resume")


def filled(command: str, settings: AdaptationSettings) -> list[str]:
    values = dict.fromkeys(PLACES, "x") | {"method": settings.recipe}
    return list(fill(command, {**values, "source": settings.source.words}))


def adapting_from(**source: object) -> AdaptationSettings:
    return parse_settings(AdaptationSettings, {"source": source}, source="test")


def test_a_source_chooses_the_method_and_is_passed_on_word_by_word() -> None:
    words = filled(DEFAULT_COMMAND, adapting_from(data="market1501", root="/a b/market", split="all", method="mar"))
    first = words.index("--source")
    assert words[first : first + 6] == [
        "--source",
        "market1501",
        "--source-root",
        "/a b/market",
        "--source-split",
        "all",
    ]
    assert words[words.index("--method") + 1] == "mar"


def test_without_a_source_nothing_of_it_is_passed_on() -> None:
    settings = AdaptationSettings()
    assert not [word for word in filled(DEFAULT_COMMAND, settings) if word.startswith("--source")]
    assert settings.recipe == "refresh"


def test_within_another_word_a_source_is_quoted_as_a_shell_wants_it() -> None:
    words = filled("sbatch --wrap 'train {snapshot} {init} {out} {source}'", adapting_from(data="mars", root="/a b"))
    assert words[-1] == "train x x x --source mars --source-root '/a b'"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"source": {"data": "market1501"}}, "needs both data .* and root"),
        ({"source": {"root": "/somewhere"}}, "needs both data .* and root"),
        ({"source": {"data": "mars", "root": "/m", "method": "ise"}}, "source.method"),
        ({"source": {"data": "mars", "root": "/m"}, "command": "t {snapshot} {init} {out}"}, "lacks {source}"),
    ],
    ids=["no root", "no data", "a method without a source", "a command that drops it"],
)
def test_a_source_that_cannot_work_is_named(values: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_settings(AdaptationSettings, values, source="test")


def test_the_folder_must_be_there_unless_another_machine_trains(tmp_path: Path) -> None:
    missing = SourceSettings(data="mars", root=tmp_path / "none")
    with pytest.raises(ConfigError, match="is no folder: give that of mars"):
        check_source(missing)
    check_source(missing.model_copy(update={"is_elsewhere": True}))
    check_source(missing.model_copy(update={"root": tmp_path}))
    check_source(SourceSettings())


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "missing"])
def test_config_validate_looks_for_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    root = tmp_path if is_there else tmp_path / "none"
    config = tmp_path / "server.toml"
    config.write_text(f'data = "/srv/osprey"\n[adaptation.source]\ndata = "market1501"\nroot = "{root}"\n')
    with pytest.raises(SystemExit) as ended:
        main(["config", "validate", str(config)])
    assert (ended.value.code or 0) == (0 if is_there else 2)
    assert ("is no folder" in capsys.readouterr().err) is not is_there

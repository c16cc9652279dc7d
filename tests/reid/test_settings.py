from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from reid.errors import ConfigError
from reid.settings import Settings, load_settings


class Spool(Settings):
    path: str = "spool.db"
    limit_bytes: int = 100


class Agent(Settings):
    edge_id: str = "edge"
    spool: Spool = Spool()
    cameras: dict[str, str] = Field(default_factory=dict)
    stages: list[Spool] = Field(default_factory=list)
    extra: Spool | None = None


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None, **overrides: object) -> Agent:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return load_settings(Agent, path=path, env_prefix="OSPREY_EDGE", overrides=overrides, environ=environ or {})


def test_command_line_wins_over_environment_wins_over_file(tmp_path: Path) -> None:
    environ = {"OSPREY_EDGE_EDGE_ID": "from-env", "OSPREY_EDGE_SPOOL__LIMIT_BYTES": "7", "OTHER": "x"}
    agent = load(tmp_path, 'edge_id = "from-file"\n[spool]\npath = "file.db"', environ, edge_id="from-cli")
    assert agent == Agent(edge_id="from-cli", spool=Spool(path="file.db", limit_bytes=7))


def test_variables_for_a_section_and_for_a_key_in_it_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="OSPREY_EDGE_SPOOL__PATH: another variable gives 'spool' a value"):
        load(tmp_path, "", {"OSPREY_EDGE_SPOOL": "x", "OSPREY_EDGE_SPOOL__PATH": "y"})


def test_overrides_that_were_not_given_change_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, 'edge_id = "a"', None, edge_id=None, spool={"path": None}).edge_id == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('edg_id = "a"', "unknown key 'edg_id': did you mean 'edge_id'"),
        ("[spool]\nlimit_byte = 1", r"unknown key 'spool.limit_byte': did you mean 'limit_bytes'"),
        ("[extra]\npaht = 'x'", r"unknown key 'extra.paht': did you mean 'path'"),
        ("[[stages]]\npaht = 'x'", r"unknown key 'stages.0.paht': did you mean 'path'"),
        ("zzz = 1", "known keys: cameras, edge_id, extra, spool, stages"),
        ("[spool]\nlimit_bytes = 'many'", r"spool.limit_bytes: .*integer.* \(came: 'many'\)"),
        ("edge_id = ", "is not valid TOML"),
    ],
    ids=["near", "nested", "optional", "list", "far", "type", "syntax"],
)
def test_faults_are_named_with_the_way_out(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read config file .*none\.toml: No such file"):
        load_settings(Agent, path=tmp_path / "none.toml", env_prefix="X", environ={})


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'a'.*'b'"):
        load(tmp_path, "a = 1\nb = 2")

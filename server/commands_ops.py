"""`osprey-server doctor` and `osprey-server config validate`: before the server runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from reid.cli import AsJson, new_app, print_json
from reid.logs import configure_logs
from reid.settings import load_settings
from server.adaptation.source import check_source
from server.doctor import Finding, examine
from server.settings import ENV_PREFIX, ServerSettings, check_listen

EXIT_UNFIT = 1
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    data: Annotated[Path | None, typer.Option(help="The server's data folder.")] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT that the server listens on.")] = None,
    release: Annotated[Path | None, typer.Option(help="Release folder; default: the one shipped in models/.")] = None,
    config: Annotated[Path | None, typer.Option(help="The server's TOML file.")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="As for 'run': without TLS.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check whether this machine is fit to run the server; exit code 1 if it is not."""
    configure_logs(level="error")
    overrides = {"data": data, "listen": listen, "release": release, "insecure": insecure or None}
    settings = load_settings(ServerSettings, path=config, env_prefix=ENV_PREFIX, overrides=overrides)
    findings: list[Finding] = []
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if _is_unfit(findings):
        raise SystemExit(EXIT_UNFIT)


def validate(
    file: Annotated[Path, typer.Argument(help="A TOML file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Say whether a config file, with the environment on top, is valid."""
    settings = load_settings(ServerSettings, path=file, env_prefix=ENV_PREFIX)
    check_listen(settings)
    check_source(settings.adaptation.source)
    if as_json:
        print_json(settings.model_dump(mode="json"))
    else:
        typer.echo(f"{file} is valid: data {settings.data}, listens on {settings.listen}, release {settings.release}")


def add_ops_commands(app: typer.Typer) -> None:
    """Add these commands to `osprey-server`."""
    app.command()(doctor)
    config_app = new_app("Look at configuration files.")
    config_app.command()(validate)
    config_app.callback()(_config)
    app.add_typer(config_app, name="config")


def _config() -> None:
    """Look at configuration files."""


def _is_unfit(findings: Sequence[Finding]) -> bool:
    return any(finding.verdict == "fail" for finding in findings)


def _print(finding: Finding) -> None:
    line = Text.assemble((f"{finding.verdict:<5}", _STYLES[finding.verdict]), f"{finding.check:<12} {finding.seen}")
    if finding.advice:
        line.append(f"\n{'':<18}-> {finding.advice}")
    Console().print(line, soft_wrap=True)

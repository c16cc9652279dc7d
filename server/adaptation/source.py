"""A labelled data set that trainings of a site may learn from beside the site's own crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from reid.errors import ConfigError
from reid.settings import Settings


class SourceSettings(Settings):
    """Which one; whoever runs the site needs the right to use it."""

    data: str = ""
    """Data set of `osprey-train adapt --source`, such as market1501; empty for none."""
    root: Path = Path()
    """Where it lies, on the machine that trains."""
    split: str = ""
    """Whose training part is learned from; empty for the data set's first."""
    method: Literal["ecn", "mar"] = "ecn"
    """Takes the place of `method`."""
    is_elsewhere: bool = False
    """The training runs on another machine, so that `root` need not be here."""

    @model_validator(mode="after")
    def _check_whole(self) -> SourceSettings:
        if bool(self.data) != (self.root != Path()):
            raise ValueError("a source needs both data (such as market1501) and root (its folder), or neither")
        return self

    @property
    def is_given(self) -> bool:
        """Whether there is one."""
        return bool(self.data)

    @property
    def words(self) -> Sequence[str]:
        """Options of `osprey-train adapt` that name it; none without one."""
        if not self.is_given:
            return ()
        split = ("--source-split", self.split) if self.split else ()
        return ("--source", self.data, "--source-root", str(self.root), *split)


def check_source(settings: SourceSettings) -> None:
    """Look whether the source is there.

    Raises:
        ConfigError: There is no such folder on this machine, and it is not said to be elsewhere.
    """
    if settings.is_given and not settings.is_elsewhere and not settings.root.is_dir():
        raise ConfigError(
            f"adaptation.source.root {settings.root} is no folder: give that of {settings.data}, or set "
            "adaptation.source.is_elsewhere if another machine trains"
        )

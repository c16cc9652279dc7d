"""What operators see of a run: its state, the figures of its training, and the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reid.errors import OspreyError
from server.adaptation.folder import AdaptationFolder
from server.adaptation.gating import read_verdict
from server.adaptation.run import AdaptationRun
from server.gate.verdict import Verdict

_TRAINED = ("gating", "rolling_out", "done", "refused")


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run.

    Attributes:
        run: Its state.
        progress: Share of the training that is done, in [0, 1].
        epochs: Number and figures of each finished epoch.
        verdict: None before the gate spoke.
    """

    run: AdaptationRun
    progress: float = 0.0
    epochs: tuple[tuple[int, Mapping[str, float]], ...] = ()
    verdict: Verdict | None = None


def view_of(run: AdaptationRun, folder: AdaptationFolder) -> RunView:
    """A run with what its folder tells."""
    progress = folder.progress()
    return RunView(
        run=run,
        progress=1.0 if run.state in _TRAINED else progress.share,
        epochs=progress.epochs,
        verdict=_verdict(folder),
    )


def _verdict(folder: AdaptationFolder) -> Verdict | None:
    try:
        return read_verdict(folder.verdict)
    except OspreyError:  # not yet, or the folder is gone
        return None

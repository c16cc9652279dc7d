"""Adaptation runs on the wire."""

from __future__ import annotations

from typing import Any, cast

from protos import adaptation_pb2
from server.adaptation.run import AdaptationRun, RunState, Trigger
from server.adaptation.view import RunView
from server.api.verdict_messages import verdict_from_proto, verdict_to_proto

_SAME = (
    "run_key",
    "actor",
    "started_us",
    "changed_us",
    "message",
    "parent",
    "space",
    "num_crops_wanted",
    "num_crops_received",
    "crop_bytes",
    "num_crops_expired",
    "rollout_key",
)
"""Fields that are called the same here and there."""


def run_to_proto(view: RunView) -> adaptation_pb2.AdaptationRun:
    """A run as operators see it."""
    run = view.run
    same: dict[str, Any] = {name: getattr(run, name) for name in _SAME}
    return adaptation_pb2.AdaptationRun(
        **same,
        state=run.state,
        trigger=run.trigger,
        progress=view.progress,
        epochs=[adaptation_pb2.EpochFigures(epoch=epoch, figures=figures) for epoch, figures in view.epochs],
        verdict=None if view.verdict is None else verdict_to_proto(view.verdict),
    )


def run_from_proto(message: adaptation_pb2.AdaptationRun) -> RunView:
    """Undo `run_to_proto`; what only the server needs is left at its defaults."""
    same: dict[str, Any] = {name: getattr(message, name) for name in _SAME}
    return RunView(
        run=AdaptationRun(**same, state=cast(RunState, message.state), trigger=cast(Trigger, message.trigger)),
        progress=message.progress,
        epochs=tuple((epoch.epoch, dict(epoch.figures)) for epoch in message.epochs),
        verdict=verdict_from_proto(message.verdict) if message.HasField("verdict") else None,
    )

"""Releases and roll-outs on the wire."""

from __future__ import annotations

from typing import cast

from protos import releases_pb2
from reid.release import Manifest
from reid.wire import release_from_proto, release_to_proto
from server.api.verdict_messages import verdict_from_proto, verdict_to_proto
from server.releases.registry import RegisteredRelease, ReleaseState
from server.releases.rollout import EdgePhase, Phase
from server.releases.view import EdgeRolloutView, RolloutView


def registered_to_proto(release: RegisteredRelease) -> releases_pb2.RegisteredRelease:
    """A release that the site knows."""
    manifest = release.manifest
    return releases_pb2.RegisteredRelease(
        release=release_to_proto(release.ref),
        parent=manifest.parent or "",
        state=release.state,
        is_served=release.is_served,
        registered_us=release.registered_us,
        match_threshold=manifest.thresholds.match,
        metrics=manifest.metrics,
        provenance=manifest.provenance,
        verdict=verdict_to_proto(release.verdict) if release.verdict else None,
        num_bytes=release.num_bytes,
        manifest=manifest.model_dump_json(),
    )


def registered_from_proto(message: releases_pb2.RegisteredRelease) -> RegisteredRelease:
    """Undo `registered_to_proto`."""
    return RegisteredRelease(
        manifest=Manifest.model_validate_json(message.manifest),
        state=cast(ReleaseState, message.state),
        is_served=message.is_served,
        registered_us=message.registered_us,
        verdict=verdict_from_proto(message.verdict) if message.HasField("verdict") else None,
        num_bytes=message.num_bytes,
    )


def rollout_to_proto(view: RolloutView) -> releases_pb2.Rollout:
    """A roll-out with its edges."""
    return releases_pb2.Rollout(
        rollout_key=view.rollout_key,
        release=release_to_proto(view.release),
        previous=release_to_proto(view.previous),
        state=view.state,
        ring=view.ring,
        num_rings=view.num_rings,
        reason=view.reason,
        started_us=view.started_us,
        changed_us=view.changed_us,
        edges=[_edge_to_proto(edge) for edge in view.edges],
    )


def rollout_from_proto(message: releases_pb2.Rollout) -> RolloutView:
    """Undo `rollout_to_proto`."""
    return RolloutView(
        rollout_key=message.rollout_key,
        release=release_from_proto(message.release),
        previous=release_from_proto(message.previous),
        state=cast(Phase, message.state),
        ring=message.ring,
        num_rings=message.num_rings,
        reason=message.reason,
        started_us=message.started_us,
        changed_us=message.changed_us,
        edges=tuple(map(_edge_from_proto, message.edges)),
    )


def _edge_to_proto(edge: EdgeRolloutView) -> releases_pb2.EdgeRollout:
    return releases_pb2.EdgeRollout(
        edge_id=edge.edge_id,
        ring=edge.ring,
        state=edge.state,
        message=edge.message,
        runs=release_to_proto(edge.runs) if edge.runs else None,
        is_attending=edge.is_attending,
    )


def _edge_from_proto(message: releases_pb2.EdgeRollout) -> EdgeRolloutView:
    return EdgeRolloutView(
        edge_id=message.edge_id,
        ring=message.ring,
        state=cast(EdgePhase, message.state),
        message=message.message,
        runs=release_from_proto(message.runs) if message.HasField("runs") else None,
        is_attending=message.is_attending,
    )

"""From a frame to the observations worth sending, for one camera: detect, track, crop, embed, rate, select.

All persons of a frame go through the network in one batch. Whatever is wrong with a frame, a box or an embedding costs
that frame or box, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge.detectors import FrameDetector
from edge.engine import CropEmbedder
from edge.faults import Faults
from edge.frames import Frame
from edge.keyframes import KeyframePolicy, Selection, View
from edge.outbox import Outgoing
from edge.quality import rate_crops
from edge.stage_times import StageTimes
from edge.switches import Coherence, SwitchGuard
from edge.tracking import PersonTracker, Track
from reid.detector import Detections
from reid.errors import BoxError, DetectorError, EmbeddingError
from reid.preprocess import clip_box, network_input
from reid.types import Box, Observation


class CameraPipeline:
    """Works on the frames of one camera. One thread.

    Args:
        camid: The camera.
        detector: Finds persons.
        open_tracker: Makes what follows them, at the first frame: only then the frame rate is known.
        engine: Embeds them; may be shared.
        switches: Notices tracks that went over to another person.
        policy: Chooses what to send.
        next_tracklet_id: Gives out ids that were never used.
        keeps_crops: Hand the crops on with what is selected.

    Attributes:
        faults: What went wrong and was survived.
        times: How long the stages took.
        num_detections: Persons found so far.
        num_tracks: Tracks seen so far.
    """

    def __init__(
        self,
        camid: str,
        *,
        detector: FrameDetector,
        open_tracker: Callable[[], PersonTracker],
        engine: CropEmbedder,
        switches: SwitchGuard,
        policy: KeyframePolicy,
        next_tracklet_id: Callable[[], int],
        keeps_crops: bool = False,
    ) -> None:
        self.faults = Faults(camid)
        self.times = StageTimes()
        self.num_detections = 0
        self.num_tracks = 0
        self._camid = camid
        self._detector = detector
        self._open_tracker = open_tracker
        self._tracker: PersonTracker | None = None
        self._engine = engine
        self._switches = switches
        self._policy = policy
        self._next_tracklet_id = next_tracklet_id
        self._keeps_crops = keeps_crops
        self._tracklet_ids: dict[int, int] = {}
        self._open_tracks: set[int] = set()
        self._space = ""

    @property
    def num_switches(self) -> int:
        """Tracks that were split because they went over to another person."""
        return self._switches.num_switches

    def coherence_in(self, space: str) -> Coherence:
        """How alike neighbouring views of one track are; nothing is known where the last view was of another space."""
        return self._switches.coherence if space == self._space else Coherence()

    def process(self, frame: Frame) -> list[Outgoing]:
        """Take in one frame; returns what to send because of it."""
        detections = self._detect(frame)
        if detections is None:
            return []
        self.num_detections += len(detections)
        with self.times.measure("track"):
            self._tracker = self._tracker or self._open_tracker()
            self._tracker.resize(frame.image.shape[1], frame.image.shape[0])
            update = self._tracker.update(detections, frame.time_us)
        self._count_tracks(update.tracks, update.ended)
        views, switched = self._views(frame, update.tracks)
        ended = [*switched, *self._switches.end(update.ended)]
        with self.times.measure("select"):
            return [self._outgoing(selection) for selection in self._policy.update(views, ended)]

    def finish(self) -> list[Outgoing]:
        """End all tracks: no frame will follow."""
        return [self._outgoing(selection) for selection in self._policy.end_all()]

    def _detect(self, frame: Frame) -> Detections | None:
        image = frame.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            error = ValueError(f"frame {frame.index} is {image.dtype} {image.shape}, wanted uint8 (H, W, 3)")
            self.faults.note("frame", error)
            return None
        try:
            with self.times.measure("detect"):
                return self._detector.detect(frame)
        except DetectorError as error:
            self.faults.note("detector", error)
            return None

    def _count_tracks(self, tracks: list[Track], ended: list[int]) -> None:
        seen = {track.track_id for track in tracks}
        self.num_tracks += len(seen - self._open_tracks)
        self._open_tracks = (self._open_tracks | seen) - set(ended)

    def _views(self, frame: Frame, tracks: list[Track]) -> tuple[list[View], list[int]]:
        """Views of the persons in a frame, and the tracks that end: another person, or another space."""
        height, width = frame.image.shape[:2]
        tracks = [track for track in tracks if self._has_area(track.box, width, height)]
        if not tracks:
            return [], []
        boxes = [track.box for track in tracks]
        with self.times.measure("crop"):
            crops = network_input(frame.image, boxes)
        try:
            with self.times.measure("embed"):
                embedded = self._engine.embed(crops)
        except EmbeddingError as error:
            self.faults.note("embedding", error)
            return [], []
        with self.times.measure("rate"):
            scores = [track.score for track in tracks]
            ratings = rate_crops(crops, boxes, scores, width_px=width, height_px=height)
        views: list[View] = []
        switched = self._enter_space(embedded.release.space)
        for row, track in enumerate(tracks):
            judgement = self._switches.judge(track.track_id, embedded.embeddings[row])
            if judgement.ended is not None:
                switched.append(judgement.ended)
            if judgement.person_track is None:
                continue
            views.append(
                View(
                    track_id=judgement.person_track,
                    time_us=frame.time_us,
                    arrived_s=frame.arrived_s,
                    box=_inside(track.box, width, height),
                    quality=ratings[row].value,
                    embedding=embedded.embeddings[row],
                    space=embedded.release.space,
                    # Copies: a view must not keep the crops of its whole frame alive.
                    crop=crops[row].copy() if self._keeps_crops else None,
                )
            )
        return views, switched

    def _enter_space(self, space: str) -> list[int]:
        """The tracks that end because views of another space follow: those cannot be compared with theirs."""
        is_other, self._space = space != self._space, space
        return self._switches.restart() if is_other else []

    def _has_area(self, box: Box, width_px: int, height_px: int) -> bool:
        try:
            clip_box(box, width_px=width_px, height_px=height_px)
        except BoxError as error:
            self.faults.note("box", error)
            return False
        return True

    def _outgoing(self, selection: Selection) -> Outgoing:
        view = selection.view
        tracklet_id = self._tracklet_ids.get(view.track_id)
        if tracklet_id is None:
            tracklet_id = self._tracklet_ids[view.track_id] = self._next_tracklet_id()
        if selection.is_last:
            del self._tracklet_ids[view.track_id]
        observation = Observation(
            camid=self._camid,
            tracklet_id=tracklet_id,
            time_us=view.time_us,
            box=view.box,
            quality=view.quality,
            embedding=view.embedding,
            is_last=selection.is_last,
        )
        return Outgoing(observation, view.space, view.arrived_s, view.crop)


def _inside(box: Box, width_px: int, height_px: int) -> Box:
    """The part of a box inside its frame."""
    return Box(max(0.0, box.x1), max(0.0, box.y1), min(float(width_px), box.x2), min(float(height_px), box.y2))

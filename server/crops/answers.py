"""What an edge answers, judged crop by crop: an edge may be broken, or full of lies. Pure.

Kept is only what was asked for, once, by a request that is open, and is a whole JPEG of the size that networks take.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import Image

from reid.preprocess import INPUT_HEIGHT_PX, INPUT_WIDTH_PX

Status = Literal["ok", "expired", "over_budget", "unknown", "forgotten", "unspecified"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRequest:
    """What is asked of an edge.

    Attributes:
        request_id: Named by every answer.
        spool_id: Of the observations.
        seqs: Whose crops are wanted.
        max_bytes: For all answers with crops together.
        forget_seqs: Whose crops are to be deleted.
    """

    request_id: str
    spool_id: str
    seqs: tuple[int, ...]
    max_bytes: int
    forget_seqs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CropAnswer:
    """What an edge says of one crop; `num_bytes` is the size of the whole message."""

    request_id: str
    seq: int
    status: Status
    jpeg: bytes
    num_bytes: int


class OpenRequest:
    """A request and what was answered to it so far.

    Attributes:
        request: As it was sent.
        jpegs: Crops that came, by seq.
        without: Crops that the edge has not, by seq, and why.
        refused: Crops that came and cannot be used, by seq, and why.
        num_bytes: Of all answers, refused ones included.
    """

    def __init__(self, request: CropRequest) -> None:
        self.request = request
        self.jpegs: dict[int, bytes] = {}
        self.without: dict[int, Status] = {}
        self.refused: dict[int, str] = {}
        self.num_bytes = 0
        self._left = set(request.seqs)

    @property
    def is_answered(self) -> bool:
        """Nothing more is to come."""
        return not self._left

    @property
    def is_overdrawn(self) -> bool:
        """More bytes came than were allowed."""
        return self.num_bytes > self.request.max_bytes

    @property
    def unanswered(self) -> frozenset[int]:
        """Crops of which nothing was said."""
        return frozenset(self._left)

    def take(self, answer: CropAnswer) -> str:
        """Note an answer; gives why it is a lie, empty if it is none."""
        self.num_bytes += answer.num_bytes
        if answer.request_id != self.request.request_id:
            return f"answer to the request {answer.request_id[:64]!r}, which is not open"
        if answer.seq not in self._left:
            return f"crop {answer.seq} was not asked for, or came before"
        self._left.discard(answer.seq)
        if answer.status in ("unspecified", "forgotten"):
            return self._refuse(answer.seq, "an answer without a status that fits")
        if answer.status != "ok":
            self.without[answer.seq] = answer.status
            return ""
        if self.is_overdrawn:
            return self._refuse(answer.seq, f"{self.num_bytes} bytes came, allowed were {self.request.max_bytes}")
        if reason := jpeg_fault(answer.jpeg):
            return self._refuse(answer.seq, reason)
        self.jpegs[answer.seq] = answer.jpeg
        return ""

    def _refuse(self, seq: int, reason: str) -> str:
        self.refused[seq] = reason
        return f"crop {seq}: {reason}"


class OpenForgetting:
    """A request to forget crops, and what was answered to it so far.

    Attributes:
        request: As it was sent.
        forgotten: Crops that the edge has no more, by seq.
    """

    def __init__(self, request: CropRequest) -> None:
        self.request = request
        self.forgotten: set[int] = set()
        self._left = set(request.forget_seqs)

    @property
    def is_answered(self) -> bool:
        """Nothing more is to come."""
        return not self._left

    def take(self, answer: CropAnswer) -> str:
        """Note an answer; gives why it is a lie, empty if it is none. After a lie the right answer may still come."""
        if answer.seq not in self._left:
            return f"crop {answer.seq} was not to be forgotten, or was before"
        if answer.status != "forgotten" or answer.jpeg:
            return f"crop {answer.seq} was to be forgotten, and was answered as {answer.status}"
        self._left.discard(answer.seq)
        self.forgotten.add(answer.seq)
        return ""


def jpeg_fault(content: bytes) -> str:
    """Why these bytes are no crop; empty for a crop. A picture of another size is not unpacked."""
    try:
        with Image.open(BytesIO(content), formats=["JPEG"]) as picture:
            if picture.size != (INPUT_WIDTH_PX, INPUT_HEIGHT_PX):
                return f"is {picture.width} x {picture.height} pixels, wanted {INPUT_WIDTH_PX} x {INPUT_HEIGHT_PX}"
            if picture.mode != "RGB" or len(picture.getexif()):
                return f"is a JPEG of mode {picture.mode} or with notes on how to turn it, wanted plain colour"
            picture.load()
    except Exception:  # Pillow's readers raise a dozen unrelated types for broken files
        return f"is no whole JPEG ({len(content)} bytes)"
    return ""

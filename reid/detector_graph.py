"""What the families of detectors have in common: the shape of a graph, and what a layout must be able to do.

A family is one class with the methods of `Layout`, listed in `reid.detector_layouts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from reid.errors import DetectorError
from reid.types import FloatArray, UInt8Array

PERSON = 0
"""Index of the person among the 80 classes of COCO, and in person-only models."""

Shape = tuple[int | str | None, ...]
AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class GraphShapes:
    """Inputs and outputs of a graph as ONNX Runtime reports them; free sizes are names or None.

    Attributes:
        inputs: Shape of each input.
        outputs: Shape of each output.
        input_names: In the order of `inputs`.
        output_names: In the order of `outputs`.
    """

    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()

    @property
    def picture(self) -> tuple[int, int] | None:
        """Height and width of the one input (N, 3, H, W), or None where the graph has no such input."""
        return picture_size(self.inputs[0]) if len(self.inputs) == 1 else None

    def __str__(self) -> str:
        """Inputs, an arrow, outputs."""
        return f"{_shapes_text(self.inputs, self.input_names)} -> {_shapes_text(self.outputs, self.output_names)}"


@dataclass(frozen=True)
class Candidates:
    """Boxes before suppression and clipping.

    Attributes:
        xyxy: float32 (N, 4), pixels of the frame.
        scores: float32 (N,), in [0, 1], none below the asked-for score.
    """

    xyxy: FloatArray
    scores: FloatArray


class DetectorSession(Protocol):
    """A graph that is ready to run, whatever runs it. One thread at a time."""

    @property
    def shapes(self) -> GraphShapes:
        """Its inputs and outputs."""

    @property
    def input_types(self) -> Sequence[str]:
        """Type of each input's numbers as numpy calls it, in the order of `shapes`."""

    def run(self, feeds: Sequence[AnyArray]) -> Sequence[AnyArray]:
        """Feed every input, in the order of `shapes`, and hand out every output.

        Raises:
            DetectorError: The run failed.
        """


class Layout(Protocol):
    """One family of detector graphs. Holds buffers: one thread at a time."""

    description: str
    """The family and its shapes, for messages."""
    needs_suppression: bool
    """False where the network itself answers with one box a person."""

    @classmethod
    def recognise(cls, graph: GraphShapes) -> Layout | None:
        """A layout for this graph, or None if the graph is of another family."""

    def prepare(self, frame: UInt8Array) -> tuple[AnyArray, ...]:
        """What the inputs are fed for a frame, in the order of the graph; valid until the next call."""

    def decode(self, outputs: Sequence[AnyArray], *, width_px: int, height_px: int, min_score: float) -> Candidates:
        """Persons in the outputs, in the order of the graph.

        Args:
            outputs: What the graph answered.
            width_px: Width of the frame.
            height_px: Height of the frame.
            min_score: Weaker persons are left out.

        Raises:
            DetectorError: The outputs are not finite or cannot be of this layout.
        """


def picture_size(shape: Shape) -> tuple[int, int] | None:
    """Height and width of an input (N, 3, H, W), or None where it has another shape or a free size."""
    if len(shape) != 4:
        return None
    _, channels, height, width = shape
    if channels != 3 or not isinstance(height, int) or not isinstance(width, int):
        return None
    return height, width


def check_finite(scores: FloatArray) -> None:
    """Refuse what broken weights or a broken input make of scores.

    Raises:
        DetectorError: One of them is not finite.
    """
    if not np.isfinite(scores).all():
        raise DetectorError("the detector's scores are not finite: its weights are broken, or its input was")


def _shapes_text(shapes: tuple[Shape, ...], names: tuple[str, ...]) -> str:
    named = [f"{name} " for name in names] or [""] * len(shapes)
    return ", ".join(
        f"{name}({', '.join(str(size) for size in shape)})" for name, shape in zip(named, shapes, strict=True)
    )

"""Every family of ONNX person detectors that this project can read, and which of them a graph belongs to.

A family is recognised by the shapes of a graph, and by the names where shapes leave a doubt. A new one is one more
class in `LAYOUTS`; how each is exported is in docs/detectors.md.
"""

from __future__ import annotations

from reid.detector_graph import GraphShapes, Layout
from reid.detector_grids import NanodetLayout, YoloxLayout
from reid.detector_queries import DecodedQueriesLayout, RfDetrLayout, TransformersLayout
from reid.errors import DetectorError

LAYOUTS: tuple[type[Layout], ...] = (
    YoloxLayout,
    NanodetLayout,
    DecodedQueriesLayout,
    RfDetrLayout,
    TransformersLayout,
)
"""Asked in this order."""


def recognise_layout(graph: GraphShapes, *, name: str) -> Layout:
    """The layout of a graph.

    Raises:
        DetectorError: No known layout fits; names the known ones and the shapes that came.
    """
    for kind in LAYOUTS:
        layout = kind.recognise(graph)
        if layout is not None:
            return layout
    known = "; ".join(kind.description for kind in LAYOUTS)
    raise DetectorError(
        f"{name} is no detector of a known layout: it maps {graph}; known, with H and W fixed: {known}. "
        "docs/detectors.md says how to export one"
    )

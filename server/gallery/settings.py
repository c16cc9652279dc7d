"""Which gallery is used, and its sizes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from reid.settings import Settings


class SketchSettings(Settings):
    """What makes a large gallery in process fast: short codes choose the vectors that are compared."""

    sketch_from: int = Field(default=50_000, ge=1)
    """Vectors from which sketches are searched first; fewer are all compared."""
    shortlist: int = Field(default=1000, ge=10)
    """Vectors that sketches choose for a query, at least ten for each hit wanted: latency against recall."""


class HnswSettings(Settings):
    """The graph that Milvus builds."""

    links: int = Field(default=32, ge=4, le=64)
    """Neighbours of a vector in the graph: memory against recall."""
    ef_construction: int = Field(default=200, ge=16, le=512)
    """Vectors kept in view while one is added: time to build against recall."""
    ef_search: int = Field(default=128, ge=16, le=32_768)
    """Vectors kept in view during a search: latency against recall."""


class GallerySettings(Settings):
    """Where prototypes are searched."""

    kind: Literal["local", "milvus"] = "local"
    """`local` searches in process; `milvus` asks a Milvus server."""
    sketches: SketchSettings = SketchSettings()
    """The search in process."""
    hnsw: HnswSettings = HnswSettings()
    """The graph in Milvus."""
    url: str = "http://127.0.0.1:19530"
    """Of the Milvus server; a file name that ends in .db is Milvus Lite."""
    token: SecretStr = SecretStr("")
    """For Milvus, USER:PASSWORD or an API key; empty for none."""
    timeout_s: float = Field(default=30.0, gt=0)
    """How long Milvus may take to let this server connect."""

"""Picks the gallery that the settings ask for."""

from __future__ import annotations

from importlib import import_module

from reid.errors import ConfigError
from server.gallery.gallery import Gallery
from server.gallery.local import LocalGallery
from server.gallery.settings import GallerySettings


def open_gallery(settings: GallerySettings, *, dim: int, space: str) -> Gallery:
    """Open the gallery of a space; `replace` its content by that of the records before the first search.

    Args:
        settings: Which one.
        dim: Numbers in a vector.
        space: Space of the vectors.

    Raises:
        ConfigError: Milvus is asked for, and its client is not installed.
        GalleryError: Milvus cannot be reached.
    """
    if settings.kind == "local":
        return LocalGallery(dim, settings.sketches)
    try:
        milvus = import_module("server.gallery.milvus")  # pymilvus is in an extra of its own
    except ImportError as error:
        raise ConfigError(
            f"gallery kind 'milvus': {error}; install it with: pip install 'osprey-reid[milvus]'"
        ) from None
    gallery: Gallery = milvus.MilvusGallery(dim, settings, space=space)
    return gallery
